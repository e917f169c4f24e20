//! What is counted, and how it looks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::observe::RejectedWhat;
use crate::smtp::server::Say;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Series with their labels, and values.
fn values(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn every_series_is_there_from_the_start_and_none_is_added() {
    // W-24.03
    let metrics = Metrics::new();
    let names = |text: &str| values(text).into_keys().collect::<Vec<_>>();
    let before = metrics.text(&Gauges::default());
    for say in Say::ALL {
        let what = RejectedWhat::Command;
        let client = CLIENT;
        metrics.count(&ClientEvent::Rejected { client, what, say }.into());
    }
    let after = metrics.text(&Gauges::default());
    assert_eq!(names(&before), names(&after));
    let rejects = |text: &str| -> f64 {
        let values = values(text).into_iter();
        let of = values.filter(|(name, _)| name.starts_with("gopherpost_smtpd_rejects_total{"));
        of.map(|(_, value)| value).sum()
    };
    assert_eq!(rejects(&before), 0.0);
    let counted = Say::ALL.into_iter().filter(|say| say.is_refusal()).count() - 3;
    assert_eq!(rejects(&after), f64::from(u32::try_from(counted).unwrap()));
}

const PAGE: &str = include_str!("../../../docs/monitoring.md");

#[test]
fn the_page_has_every_series_with_its_meaning() {
    let text = Metrics::new().text(&Gauges::default());
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            kinds.insert(name, kind);
        }
    }
    let mut rows = String::new();
    for line in text.lines() {
        let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        rows.push_str(&format!("| `{name}` | {} | {help} |\n", kinds[name]));
    }
    assert!(PAGE.contains(&rows), "docs/monitoring.md lacks:\n{rows}");
}

#[test]
fn the_page_has_every_reason_of_a_refusal() {
    let text = Metrics::new().text(&Gauges::default());
    let mut rows = String::new();
    let labels = |series: &str| -> Option<(String, String)> {
        let labels = series.strip_prefix("gopherpost_smtpd_rejects_total{code=\"")?;
        let (code, rest) = labels.split_once("\",reason=\"")?;
        Some((code.to_owned(), rest.strip_suffix("\"}")?.to_owned()))
    };
    let mut by_code: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (code, reason) in values(&text).keys().filter_map(|series| labels(series)) {
        by_code.entry(code).or_default().push(format!("`{reason}`"));
    }
    for (code, reasons) in by_code {
        rows.push_str(&format!("| {code} | {} |\n", reasons.join(" ")));
    }
    assert!(PAGE.contains(&rows), "docs/monitoring.md lacks:\n{rows}");
}

#[test]
fn gauges_are_as_the_sources_say() {
    let metrics = Metrics::new();
    let mut gauges = Gauges {
        messages: 3,
        accepting: true,
        ..Gauges::default()
    };
    gauges.recipients[StateName::Held as usize] = 7;
    gauges.oldest[StateName::Deferred as usize] = Some(UnixMillis(wall_clock().0 - 60_000));
    let values = values(&metrics.text(&gauges));
    assert_eq!(values["gopherpost_queue_messages"], 3.0);
    assert_eq!(values["gopherpost_accepting_mail"], 1.0);
    assert_eq!(values[r#"gopherpost_queue_recipients{state="held"}"#], 7.0);
    let age = values[r#"gopherpost_queue_oldest_age_seconds{state="deferred"}"#];
    assert!((60.0..70.0).contains(&age), "{age}");
    assert_eq!(
        values[r#"gopherpost_queue_oldest_age_seconds{state="queued"}"#],
        0.0
    );
}

#[test]
fn the_predecessors_names_go_on() {
    let metrics = Metrics::new();
    let client = CLIENT;
    metrics.count(&ClientEvent::SessionStarted { client }.into());
    let mut gauges = Gauges::default();
    gauges.recipients[StateName::Queued as usize] = 2;
    gauges.recipients[StateName::Delivered as usize] = 9;
    let read: serde_json::Value = serde_json::from_str(&metrics.expvar(&gauges)).unwrap();
    assert_eq!(
        read,
        serde_json::json!({
            "smtp_messages_queued_total": 0,
            "smtp_messages_delivered_total": 0,
            "smtp_delivery_failures_total": 0,
            "smtp_queue_depth": 2,
            "smtp_sessions_active": 1,
        })
    );
}
