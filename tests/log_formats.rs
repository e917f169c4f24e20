//! docs/logs.md shows one delivery's lines in each format: they are those of the real relay.

use crate::support::{Certificate, Phase, World, mail};

const PAGE: &str = include_str!("../docs/logs.md");

/// Puts `with` in place of the digits (and dots, colons, dashes and letters of a time) behind each `key`.
fn replaced(line: &str, key: &str, is_part: impl Fn(char) -> bool, with: &str) -> String {
    let Some(at) = line.find(key) else {
        return line.to_owned();
    };
    let (before, rest) = line.split_at(at + key.len());
    let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
    format!("{before}{with}{}", &rest[end..])
}

/// What differs from run to run is put as the page has it.
fn normalised(line: &str, id: &str, port: &str) -> String {
    let of_time = |c: char| c.is_ascii_digit() || "-:.TZ".contains(c);
    let time = "2026-11-25T10:00:00.000000Z";
    let mut line = line
        .replace(id, "01KB6Q7S0G9T4M6C1V2N8X3YZA")
        .replace(port, ":25");
    line = match line.starts_with("20") {
        true => replaced(&line, "", of_time, time),
        false => replaced(
            &replaced(&line, "ts=", of_time, time),
            r#""timestamp":""#,
            of_time,
            time,
        ),
    };
    for (key, with) in [
        ("commit_us", "1500"),
        ("age_s", "1"),
        ("took_ms", "250"),
        ("size", "328"),
    ] {
        for key in [format!(" {key}="), format!(r#""{key}":"#)] {
            line = replaced(&line, &key, |c| c.is_ascii_digit(), with);
        }
    }
    line
}

#[track_caller]
fn check_page_has(format: &str, lines: &[String]) {
    let block = format!("```{format}\n{}\n```\n", lines.join("\n"));
    assert!(PAGE.contains(&block), "docs/logs.md lacks this:\n{block}");
}

#[tokio::test]
async fn the_page_shows_the_lines_of_each_format() {
    for format in ["text", "json", "logfmt"] {
        let world = World::setup().set("SMTP_LOG_FORMAT", format).await;
        let mx = world.remote("example.net").tls(Certificate::Good).await;
        mx.answers(Phase::Dot, ["250 2.0.0 Ok: queued as 4bWx2J1T3fz"]);
        let mail = mail().from("ann@gp.test").to("bob@example.net");
        let id = world.client().send(mail).await.accepted();
        let of_mail = |text: &str| text.contains(&id.0);
        let is_delivered = |text: &str| of_mail(text) && text.contains("queued as");
        world.log().wait_for(|line| is_delivered(&line.text)).await;
        let lines = world.log().lines();
        let texts = lines.iter().map(|line| line.text.as_str());
        let port = format!(":{}", mx.address().port());
        let lines: Vec<String> = texts
            .filter(|text| of_mail(text))
            .map(|text| normalised(text, &id.0, &port))
            .collect();
        check_page_has(format, &lines);
    }
}
