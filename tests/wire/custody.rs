//! Who is responsible for a message: from the 250 on the relay, whatever happens; before it the client.

use std::fs::File;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::support::{Client, Gate, Mail, Random, World, mail, reply, stuffed, within};

const MIB: u64 = 1024 * 1024;

/// Pause between two questions whether the relay has seen that the disk is full, or isn't any more.
const DISK_POLL: Duration = Duration::from_millis(20);

#[tokio::test]
async fn what_got_its_250_survives_a_kill_right_behind_it() {
    // W-5.02
    let world = World::new().await;
    let gate = Gate::new();
    let mx = world
        .remote("dest.test")
        .greeting([reply("220 mx1.dest.test").behind(&gate)])
        .await;
    let mut random = Random::new();
    // Kept in the database, in a file of one piece, in a file of several.
    let mails = [200, 100_000, 600_000].map(|octets| {
        let from = format!("{octets}@gp.test");
        to_dest(&from).body_octets(random.text(octets))
    });
    for sent in &mails {
        let mut client = world.client().session().await;
        client.send(sent.clone()).await.accepted();
        world.relay().kill_and_restart().await;
    }
    assert!(mx.messages().is_empty()); // so none was safe before its kill
    gate.open();
    mx.received_exactly(3).await;
    for message in mx.messages() {
        let mut sent = mails
            .iter()
            .filter(|m| m.mail_line().contains(message.from()));
        message.arrived_as(sent.next().expect("each from its own sender").octets());
    }
}

#[tokio::test]
async fn data_that_do_not_end_are_thrown_away() {
    // W-5.13
    let world = World::setup()
        .set("SMTP_LOG", "info,gopherpost=debug")
        .await;
    let mx = world.remote("dest.test").await;
    let mut sessions = 0;
    for data in [
        "",
        "Subject: x",
        "Subject: x\r\n\r\nx\r\n",
        "Subject: x\r\n\r\nx\r\n.",
        "Subject: x\r\n\r\nx\r\n.\r",
        ".",
        ".\r",
    ] {
        for leave in [Client::close, Client::reset] {
            let mut client = world.client().from("127.0.0.7").session().await;
            client.up_to_data(&to_dest("a@gp.test")).await;
            client.send_octets(data).await;
            leave(client);
        }
        let mut client = world.client().from("127.0.0.7").session().await;
        client.up_to_data(&to_dest("a@gp.test")).await;
        client.send_octets(data).await;
        client.half_close().await;
        let said = String::from_utf8(client.read_to_end().await).expect("a reply is text");
        assert!(!said.contains("250"), "{data:?} got {said:?}");
        sessions += 3;
    }
    sessions_ended(&world, "127.0.0.7", sessions).await;
    mx.receives_nothing();
    world.nothing_queued().await;
}

#[tokio::test]
async fn who_leaves_before_the_250_is_served_once_at_most() {
    // W-5.14
    let world = World::setup()
        .set("SMTP_LOG", "info,gopherpost=debug")
        .await;
    let mx = world.remote("dest.test").await;
    let mut senders = Vec::new();
    for round in 0..5 {
        for (how, leave) in [
            ("closes", Client::close as fn(Client)),
            ("resets", Client::reset),
        ] {
            let from = format!("{how}.{round}@gp.test");
            let mut client = world.client().from("127.0.0.7").session().await;
            client.up_to_data(&to_dest(&from)).await;
            client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
            leave(client);
            senders.push(from);
        }
    }
    sessions_ended(&world, "127.0.0.7", senders.len()).await;
    world.takes_and_delivers_a_mail().await;
    let accepted = world.log().lines().into_iter().filter(|l| l.is("accepted"));
    world.log().tells_times("delivered", accepted.count()).await;

    let messages = mx.messages();
    for sender in senders {
        let count = messages.iter().filter(|m| m.from() == sender).count();
        assert!(count <= 1, "{count} messages from {sender}");
    }
}

#[tokio::test]
async fn who_closes_only_its_half_still_gets_the_250() {
    // W-5.14
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    client.up_to_data(&to_dest("a@gp.test")).await;
    client.send_octets("Subject: x\r\n\r\nx\r\n.\r\n").await;
    client.half_close().await;
    client.read_reply().await.expect("250 2.0.0");
    client.expect_closed().await;
    mx.message().await.arrived_as("Subject: x\r\n\r\nx\r\n");
    mx.received_exactly(1).await;
}

/// Waits until so many sessions of this client are over, whatever became of their messages.
async fn sessions_ended(world: &World, client: &str, count: usize) {
    let mut ended = 0;
    let mut looked_at = 0;
    while ended < count {
        let lines = world
            .log()
            .tells_times("session_ended", looked_at + 1)
            .await;
        let fresh = &lines[looked_at..];
        let of_client = fresh
            .iter()
            .filter(|l| l.field("client").as_deref() == Some(client));
        ended += of_client.count();
        looked_at = lines.len();
    }
}

#[tokio::test]
async fn sessions_side_by_side_never_mix_and_never_wait_for_a_stalled_one() {
    // W-5.18
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut random = Random::new();
    let mut sessions: Vec<(Mail, Client)> = Vec::new();
    for number in 0..51 {
        let body = random.text(20_000 + number * 1_000); // below and above what the database keeps
        let sent = mail()
            .from(&format!("from.{number}@gp.test"))
            .to(&format!("to.{number}@dest.test"))
            .body_octets(body);
        let mut client = world.client().session().await;
        client.up_to_data(&sent).await;
        sessions.push((sent, client));
    }
    each(&mut sessions, async |sent, client| {
        let wire = stuffed(&sent.octets());
        client.send_octets(&wire[..wire.len() / 2]).await;
    })
    .await;
    let (_, others) = sessions.split_first_mut().expect("51 sessions");
    each(others, finish).await;
    mx.transactions_seen(50).await;
    let (stalled, _) = sessions.split_at_mut(1);
    each(stalled, finish).await;

    mx.received_exactly(51).await;
    let messages = mx.messages();
    for (number, (sent, _)) in sessions.iter().enumerate() {
        let from = format!("from.{number}@gp.test");
        let mut own = messages.iter().filter(|message| message.from() == from);
        let message = own.next().expect("each from its own sender");
        message.arrived_as(sent.octets());
        assert_eq!(message.to(), [format!("to.{number}@dest.test")]);
    }
}

async fn each(sessions: &mut [(Mail, Client)], work: impl AsyncFn(&Mail, &mut Client)) {
    join_all(sessions.iter_mut().map(|(sent, client)| work(sent, client))).await;
}

/// Sends the second half of the data, and gets the 250.
async fn finish(sent: &Mail, client: &mut Client) {
    let wire = stuffed(&sent.octets());
    client.send_octets(&wire[wire.len() / 2..]).await;
    client.read_reply().await.expect("250 2.0.0");
}

#[tokio::test]
async fn with_the_disk_nearly_full_mail_is_put_off_until_there_is_space() {
    // W-5.19, W-24.01
    let disk = TempDir::new_in(quiet_file_system()).expect("a temporary directory");
    let threshold = free_octets(disk.path()) - 8 * MIB;
    let spool = disk.path().join("spool").display().to_string();
    let world = World::setup()
        .set("SMTP_QUEUE_PATH", &spool)
        .set("SMTP_MIN_FREE_SPACE", &threshold.to_string())
        .await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let path = disk.path().join("ballast");
    let ballast = File::create_new(&path).expect("a file of our own");

    mail_gets(&mut client, "452 4.3.1", "250 2.1.0", || {
        fill_until_less_is_free(&ballast, disk.path(), threshold);
    })
    .await;
    client
        .cmd("RCPT TO:<b@dest.test>")
        .await
        .expect("503 5.5.1");
    client.in_sync().await;
    assert_eq!(world.relay().http_get("/healthz").await.status, 503);

    std::fs::remove_file(path).expect("our own file");
    drop(ballast);
    mail_gets(&mut client, "250 2.1.0", "452 4.3.1", || {}).await;
    assert_eq!(world.relay().http_get("/healthz").await.status, 200);
    client.cmd("RSET").await.expect(250);
    client.send(to_dest("a@gp.test")).await.accepted();
    mx.received_exactly(1).await;
}

/// Asks with MAIL until the reply is this; until then it may only be `before`.
async fn mail_gets(client: &mut Client, wanted: &str, before: &str, mut beforehand: impl FnMut()) {
    let ask = async {
        loop {
            beforehand();
            let said = client.cmd("MAIL FROM:<a@gp.test>").await;
            if said.is(wanted) {
                return;
            }
            said.expect(before);
            client.cmd("RSET").await.expect(250);
            tokio::time::sleep(DISK_POLL).await; // nothing tells when the relay looks at the disk
        }
    };
    let what = || format!("MAIL to get {wanted}");
    within(Location::caller(), what, ask).await;
}

/// Where next to nobody else writes while tests run, so that a few MiB decide whether it is full.
fn quiet_file_system() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn free_octets(path: &Path) -> u64 {
    let disk = statvfs(path).expect("a directory of ours");
    disk.f_bavail * disk.f_frsize
}

/// Makes the file so large that less than `threshold` is free. Asked again, it looks again: others
/// may have removed something meanwhile.
fn fill_until_less_is_free(file: &File, path: &Path, threshold: u64) {
    if let Some(too_much) = free_octets(path).checked_sub(threshold) {
        let length = file.metadata().expect("an open file").len();
        let more = too_much + 8 * MIB;
        fallocate(file, FallocateFlags::empty(), length, more).expect("there is space");
    }
}

#[tokio::test]
async fn a_message_that_can_not_be_stored_is_put_off_behind_its_end() {
    // W-5.19
    let world = World::new().await;
    let mx = world.remote("dest.test").await;
    let mut client = world.client().session().await;
    let large = to_dest("large@gp.test").body_octets(Random::new().text(600_000));

    // Large messages become files; now there is no directory where they could be.
    let bodies = world.relay().directory().join("spool/bodies");
    let aside = world.relay().directory().join("aside");
    std::fs::rename(&bodies, &aside).expect("the spool's directory");
    File::create_new(&bodies).expect("a free name");
    client.send(large.clone()).await.refused("452 4.3.1");
    client.in_sync().await;
    client.send(to_dest("small@gp.test")).await.accepted();
    assert_eq!(mx.message().await.from(), "small@gp.test");

    std::fs::remove_file(&bodies).expect("our own file");
    std::fs::rename(&aside, &bodies).expect("a free name");
    client.send(large.clone()).await.accepted();
    mx.message().await.arrived_as(large.octets());
    mx.received_exactly(2).await;
}

fn to_dest(from: &str) -> Mail {
    mail().from(from).to("b@dest.test")
}
