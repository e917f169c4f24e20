//! Clients that fall silent.

use crate::support::World;

#[tokio::test]
async fn a_silent_client_is_told_so_and_left_wherever_it_stopped() {
    // W-12.01
    let world = World::setup()
        .set("SMTP_COMMAND_TIMEOUT", "1s")
        .set("SMTP_DATA_TIMEOUT", "1s")
        .await;
    let envelope = "MAIL FROM:<ann@gp.test>\r\nRCPT TO:<bob@dest.test>\r\n";
    let places = [
        (String::new(), 1),
        ("EHLO client.test\r\n".to_owned(), 2),
        ("EHLO client.test\r\nNOOP".to_owned(), 2),
        (format!("EHLO client.test\r\n{envelope}"), 4),
        (format!("EHLO client.test\r\n{envelope}DATA\r\n"), 5),
        (
            format!("EHLO client.test\r\n{envelope}DATA\r\nSubject: x\r\n\r\nhalf a li"),
            5,
        ),
        (
            format!("EHLO client.test\r\n{envelope}DATA\r\nSubject: x\r\n\r\nx\r\n.\r"),
            5,
        ),
        // What can't be taken is not waited for any longer.
        (
            format!("EHLO client.test\r\n{envelope}DATA\r\na bare \n in the text\r\n"),
            5,
        ),
    ];
    let mut silent = Vec::new();
    for (said, replies) in &places {
        let mut client = world.client().connect().await;
        client.send_octets(said).await;
        silent.push((said, *replies, client));
    }
    for (said, replies, mut client) in silent {
        for _ in 0..replies {
            client.read_reply().await;
        }
        let last = client.read_reply().await;
        assert!(last.is("421 4.4.2"), "behind {said:?}: {last}");
        client.expect_closed().await;
    }
    world.nothing_queued().await;
}
