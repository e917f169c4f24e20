//! DNS answers that are not the server's, or of a server that is old or playful.

use crate::support::{Trouble, Wrong, mail};

use super::odd_turn::one_attempt;

#[tokio::test]
async fn an_answer_that_does_not_belong_to_the_question_leads_nowhere() {
    // W-13.13
    let world = one_attempt().set("SMTP_DNS_TIMEOUT", "2s").await;
    let trap = world.remote_without_dns().at("127.0.0.222").await;
    let address = "127.0.0.222".parse().unwrap();
    let mut hosts = Vec::new();
    let rows = [
        ("id", Wrong::Id, false, "deferred 4.4.3"),
        ("id-first", Wrong::Id, true, "delivered"),
        ("question", Wrong::Question, false, "deferred 4.4.3"),
        ("question-first", Wrong::Question, true, "delivered"),
    ];
    for (name, wrong, then_right, _) in rows {
        // Once where the domain is asked about, once where its host is.
        for of_host in [false, true] {
            let domain = format!("{name}-{of_host}.test");
            let host = world.remote(&domain).await;
            let forged = if of_host { host.name() } else { &domain };
            let trouble = Trouble::Forged {
                wrong,
                address,
                then_right,
            };
            world.dns().troubles_all(forged, trouble);
            hosts.push((host, domain));
        }
    }
    let mailboxes: Vec<String> = hosts.iter().map(|(_, d)| format!("ann@{d}")).collect();
    let sent = world.client().send(mail().recipients(&mailboxes)).await;
    let history = world.history(&sent.accepted());
    let becomes = rows.iter().flat_map(|row| [row.3; 2]);
    for (mailbox, becomes) in mailboxes.iter().zip(becomes) {
        history.shows_for(mailbox, [becomes]).await;
    }
    trap.never_called();
}

#[tokio::test]
async fn servers_without_edns_and_with_mixed_case_are_understood() {
    // W-13.13
    let world = one_attempt().await;
    let mut hosts = Vec::new();
    for (domain, trouble) in [
        ("old.test", Trouble::NoEdns),
        ("case.test", Trouble::MixedCase),
    ] {
        let host = world.remote(domain).await;
        world.dns().troubles_all(domain, trouble);
        world.dns().troubles_all(host.name(), trouble);
        let sent = world
            .client()
            .send(mail().to(&format!("ann@{domain}")))
            .await;
        hosts.push((host, world.history(&sent.accepted())));
    }
    for (host, history) in hosts {
        history.shows(["delivered"]).await;
        host.received_exactly(1).await;
    }
}
