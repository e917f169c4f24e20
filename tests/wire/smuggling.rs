//! Octets in the data that some server, somewhere, takes for a line end: they never end the data, and
//! no message that has them gets in.

use crate::support::{Client, Mail, Random, World, mail};

/// What an attacker wants to be read as commands.
const SMUGGLED: &str = "MAIL FROM:<evil@gp.test>\r\nRCPT TO:<v@dest.test>\r\nDATA\r\nx\r\n.\r\n";

/// Refuses a CR or LF that stands alone.
const BARE: &str = "550 5.5.2";

#[tokio::test]
async fn a_bare_line_end_anywhere_refuses_the_message() {
    // W-5.04
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let (read, piece) = ("r".repeat(64 * 1024 - 1), "p".repeat(256 * 1024 - 1)); // up to where buffers end
    for data in [
        "\n",
        "\r",
        "\nSubject: x\r\n\r\nx\r\n",
        "\rSubject: x\r\n\r\nx\r\n",
        "Subject: x\n\r\n\r\nx\r\n",
        "Subject: x\n folded\r\n\r\nx\r\n",
        "Subject: x\r folded\r\n\r\nx\r\n",
        "Subject: x\r\n\nx\r\n",
        "Subject: x\r\n\rx\r\n",
        "Subject: x\n\nx\n",
        "Subject: x\r\n\r\nx\ny\r\n",
        "Subject: x\r\n\r\nx\ry\r\n",
        "Subject: x\r\n\r\nx\n\r\n",
        "Subject: x\r\n\r\nx\r\r\n",
        "Subject: x\r\n\r\nx\n\r",
        &format!("{read}\n\r\n"),
        &format!("{read}\r{read}\r\n"),
        &format!("{piece}\n\r\n"),
        &format!("{piece}\r{piece}\r\n"),
    ] {
        client.up_to_data(&to_dest()).await;
        client.send_octets(format!("{data}\r\n.\r\n")).await;
        client.read_reply().await.expect(BARE);
        client.in_sync().await;
    }
    mx.receives_nothing();
    world.nothing_queued().await;
}

#[tokio::test]
async fn no_false_end_lets_a_second_transaction_in() {
    // W-5.05
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r",
        "\r.\r\n",
        "\n.\r",
        "\r\r\n.\r\r\n",
        "\n\n.\r\n",
        "\r\n.\n\r\n",
        "\r\n.\r\r\n",
        "\n\r.\r\n",
    ] {
        let half = "Subject: a good one\r\n\r\nfirst half";
        let whole = [half, end, SMUGGLED].concat();
        client.up_to_data(&to_dest()).await;
        client.send_octets(&whole).await;
        expect_one_refusal(&mut client, end).await;

        client.up_to_data(&to_dest()).await;
        client.send_pieces([half, end, SMUGGLED]).await;
        expect_one_refusal(&mut client, end).await;

        client.up_to_data(&to_dest()).await;
        client.send_octets(half).await;
        client.send_each_octet([end, SMUGGLED].concat()).await;
        expect_one_refusal(&mut client, end).await;
    }
    mx.receives_nothing();
    world.nothing_queued().await;
}

async fn expect_one_refusal(client: &mut Client, end: &str) {
    let reply = client.read_reply().await;
    assert!(reply.is(BARE), "data with {end:?} inside got {reply}");
    client.in_sync().await;
}

#[tokio::test]
async fn a_bare_line_end_behind_the_size_limit_is_still_seen() {
    // W-5.06
    let world = World::setup().set("SMTP_MAX_MESSAGE_SIZE", "64KiB").await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let too_much = "x".repeat(70_000);
    for (behind, wanted) in [
        ("\r\n.\r\n".to_owned(), "552 5.3.4"),
        ("\n\r\n.\r\n".to_owned(), BARE),
        ("\r\r\n.\r\n".to_owned(), BARE),
        (format!("\n.\n{SMUGGLED}"), BARE),
        (format!("\n.\r\n{SMUGGLED}"), BARE),
        (format!("\r.\r\n{SMUGGLED}"), BARE),
        (format!("{too_much}{too_much}\n.\r\n{SMUGGLED}"), BARE),
    ] {
        client.up_to_data(&to_dest()).await;
        client.send_octets(&too_much).await;
        client.send_octets(behind).await;
        client.read_reply().await.expect(wanted);
        client.in_sync().await;
    }
    mx.receives_nothing();
    world.nothing_queued().await;
}

#[tokio::test]
async fn a_nul_refuses_the_message_and_ends_nothing() {
    // W-5.07
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    for data in [
        "\0",
        "Subject: x\0y\r\n\r\nx\r\n",
        "Subject: x\r\n\r\nx\0y\r\n",
        "Subject: x\r\n\r\nx\r\n\0.\r\n",
        "Subject: x\r\n\r\nx\r\n.\0\r\n",
        "Subject: x\r\n\r\nx\r\0\n.\r\n",
        "Subject: x\r\n\r\nx\r\n\0\r\n",
        &["Subject: x\r\n\r\nx\r\n\0.\r\n", SMUGGLED].concat(),
        &["Subject: x\r\n\r\nx\r\n.\0\r\n", SMUGGLED].concat(),
    ] {
        let end = if data.ends_with(SMUGGLED) {
            ""
        } else {
            "\r\n.\r\n"
        };
        client.up_to_data(&to_dest()).await;
        client.send_octets([data, end].concat()).await;
        client.read_reply().await.expect("554 5.6.0");
        client.in_sync().await;
    }
    mx.receives_nothing();
    world.nothing_queued().await;
}

#[tokio::test]
async fn random_line_ends_never_get_out_of_step() {
    // W-5.03, W-5.04, W-5.07
    let world = World::setup().set("SMTP_MODE", "sink").await;
    let mut random = Random::new();
    let mut client = world.client().session().await;
    for _ in 0..100 {
        let pieces = ["\r\n", "\r", "\n", ".", "\0", "a", "\r\n.", ".\r\n"];
        let count = random.below(12);
        let mut data: String = (0..count).map(|_| *random.pick(&pieces)).collect();
        data.push_str("\r\n.\r\n");
        let end = first_true_end(&data);
        let wanted = what_becomes_of(&data[..end]);

        client.up_to_data(&to_dest()).await;
        let data = &data.as_bytes()[..end];
        client.send_pieces(random.cut(data, 8)).await;
        let reply = client.read_reply().await;
        assert!(reply.is(wanted), "{:?} got {reply}", data.escape_ascii());
        client.in_sync().await;
    }
}

/// Behind the first `.⏎` that is a line of its own (RFC 5321 4.1.1.4).
fn first_true_end(data: &str) -> usize {
    if data.starts_with(".\r\n") {
        return 3;
    }
    data.find("\r\n.\r\n").map(|at| at + 5).expect("an end")
}

fn what_becomes_of(data: &str) -> &'static str {
    let without_line_ends = data.replace("\r\n", "");
    if data.contains('\0') {
        "554 5.6.0"
    } else if without_line_ends.contains(['\r', '\n']) {
        BARE
    } else {
        "250 2.0.0"
    }
}

fn to_dest() -> Mail {
    mail().to("b@dest.test")
}
