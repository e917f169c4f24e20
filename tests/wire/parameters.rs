//! Parameters of MAIL and RCPT: which are taken, which are refused, and what is left after a refusal.

use crate::support::{Client, World, mail};

#[tokio::test]
async fn the_declared_size_is_held_against_the_limit() {
    // W-4.01
    let world = World::new().await;
    let mut client = world.client().session().await;
    check_mail(
        &mut client,
        &[
            ("SIZE=1", "250 2.1.0"),
            ("size=1", "250 2.1.0"),
            ("SIZE=00000000000000000001", "250 2.1.0"),
            ("SIZE=10485760", "250 2.1.0"),
            ("SIZE=10485761", "552 5.3.4"),
            ("SIZE=18446744073709551616", "552 5.3.4"),
            ("SIZE=99999999999999999999", "552 5.3.4"),
            ("SIZE=999999999999999999999", "501 5.5.4"),
            ("SIZE", "501 5.5.4"),
            ("SIZE=", "501 5.5.4"),
            ("SIZE=-1", "501 5.5.4"),
            ("SIZE=+1", "501 5.5.4"),
            ("SIZE=1k", "501 5.5.4"),
            ("SIZE=0x10", "501 5.5.4"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_message_may_be_larger_than_it_was_declared() {
    // W-4.01 (SIZE=0 says nothing), W-4.02
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for declared in ["SIZE=0", "SIZE=1"] {
        let sent = mail().to("b@dest.test").mail_parameter(declared);
        client.send(sent.clone()).await.accepted();
        mx.message().await.arrived_as(sent.octets());
    }
    mx.received_exactly(2).await;
}

#[tokio::test]
async fn the_body_is_declared_in_any_case_or_not_at_all() {
    // W-4.03
    let world = World::new().await;
    let mut client = world.client().session().await;
    check_mail(
        &mut client,
        &[
            ("", "250 2.1.0"),
            ("BODY=7BIT", "250 2.1.0"),
            ("body=7bit", "250 2.1.0"),
            ("BODY=8BITMIME", "250 2.1.0"),
            ("Body=8BitMime", "250 2.1.0"),
            ("BODY=BINARYMIME", "250 2.1.0"),
            ("BODY=8BITMIME SIZE=100 SMTPUTF8", "250 2.1.0"),
            ("BODY=9BIT", "501 5.5.4"),
            ("BODY=8BIT", "501 5.5.4"),
            ("BODY=", "501 5.5.4"),
            ("BODY", "501 5.5.4"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_parameter_that_is_unknown_repeated_or_malformed_refuses_mail() {
    // W-4.04, W-4.05 (REQUIRETLS, not offered, is unknown whatever its value)
    let world = World::new().await;
    let mut client = world.client().session().await;
    check_mail(
        &mut client,
        &[
            ("X-UNKNOWN", "555 5.5.4"),
            ("X-UNKNOWN=1", "555 5.5.4"),
            ("SIZEX=1", "555 5.5.4"),
            ("SIZE=1 FOO=bar", "555 5.5.4"),
            ("MT-PRIORITY=3", "555 5.5.4"),
            ("RRVS=2026-01-01T00:00:00Z", "555 5.5.4"),
            ("XOORG=x", "555 5.5.4"),
            ("REQUIRETLS=x", "555 5.5.4"),
            ("SIZE=1 SIZE=1", "501 5.5.4"),
            ("SIZE=1 size=2", "501 5.5.4"),
            ("BODY=7BIT BODY=7BIT", "501 5.5.4"),
            ("SMTPUTF8 SMTPUTF8", "501 5.5.4"),
            ("SMTPUTF8=x", "501 5.5.4"),
            ("=1", "501 5.5.4"),
            ("=", "501 5.5.4"),
            ("SIZE =1", "501 5.5.4"),
        ],
    )
    .await;
    let glued = client.cmd("MAIL FROM:<a@gp.test>SIZE=1").await;
    glued.expect("501 5.5.4");
    client
        .cmd("RCPT TO:<b@dest.test>")
        .await
        .expect("503 5.5.1");
    client.in_sync().await;
}

#[tokio::test]
async fn a_bad_parameter_of_one_recipient_leaves_the_others() {
    // W-4.04, W-2.22
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.cmd("MAIL FROM:<a@gp.test>").await.expect(250);
    for (argument, wanted) in [
        ("<first@dest.test>", "250 2.1.5"),
        ("<b@dest.test> X-UNKNOWN", "555 5.5.4"),
        ("<b@dest.test> X-UNKNOWN=1", "555 5.5.4"),
        ("<b@dest.test> SIZE=1", "555 5.5.4"),
        ("<b@dest.test> =1", "501 5.5.4"),
        ("<b@dest.test>X=1", "501 5.5.4"),
        ("<last@dest.test>", "250 2.1.5"),
    ] {
        let reply = client.cmd(&format!("RCPT TO:{argument}")).await;
        reply.expect(wanted);
    }
    client.data("Subject: x\r\n\r\nx\r\n").await.expect(250);
    let message = mx.message().await;
    assert_eq!(message.to(), ["first@dest.test", "last@dest.test"]);
}

/// Says MAIL with each row's parameters, and wants the row's reply; a refused MAIL must leave no
/// transaction.
async fn check_mail(client: &mut Client, rows: &[(&str, &str)]) {
    for (parameters, wanted) in rows {
        let line = format!("MAIL FROM:<a@gp.test> {parameters}");
        let said = client.cmd(&line).await.expect(*wanted);
        let rcpt = client.cmd("RCPT TO:<b@dest.test>").await;
        let wanted = if said.is(250) {
            "250 2.1.5"
        } else {
            "503 5.5.1"
        };
        assert!(rcpt.is(wanted), "after {line:?}, RCPT got {rcpt}");
        client.cmd("RSET").await.expect("250 2.0.0");
    }
    client.in_sync().await;
}
