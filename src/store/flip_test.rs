//! One octet of the database file is wrong: the store opens, says so, and serves all that is not hit.

use std::path::Path;

use super::tests::{Place, accept, read_body};
use super::*;

const MESSAGES: u64 = 40;

/// How the database was left.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// By a clean stop, before any start had read what is in it.
    Unread,
    /// By a clean stop, after such a start.
    Read,
    /// By a crash.
    Crashed,
}

/// A queue of some messages; what is in them can be found in the file.
async fn queue(left: Left) -> (Place, Vec<Message>) {
    let place = Place::new();
    let mut store = place.open();
    let mut mail = Vec::new();
    for n in 0..MESSAGES {
        let octets = format!("Subject: {n}\r\n\r\ntext-{n:04}\r\n{}", "x".repeat(900));
        let to = [format!("user-{n:04}@one.test")];
        mail.push(accept(&store, n, &[&to[0]], octets.as_bytes()).await);
    }
    if matches!(left, Left::Read) {
        store.close().await.unwrap();
        store = place.crash(store);
    }
    if !matches!(left, Left::Crashed) {
        store.close().await.unwrap();
    }
    place.leave(store);
    (place, mail)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Which messages can't be read whole.
async fn hit(store: &Store, mail: &[Message]) -> Vec<QueueId> {
    let mut hit = Vec::new();
    for message in mail {
        let loaded = store.load(message.id, &[RecipientNo(0)]).await;
        let there = matches!(loaded, Ok(Some(loaded)) if loaded.recipients.len() == 1);
        if !there || read_body(store, message).await.is_err() {
            hit.push(message.id);
        }
    }
    hit
}

async fn verify(store: &Store, repair: bool) -> Vec<Damage> {
    let (mut damaged, mut from) = (Vec::new(), None);
    loop {
        let page = store.verify(from, repair).await.unwrap();
        damaged.extend(page.damaged);
        from = page.next;
        if from.is_none() {
            return damaged;
        }
    }
}

/// Flips an octet in a copy of the queue and opens that.
fn opened(place: &Place, at: usize) -> (Place, Store) {
    opened_with(place, |octets| octets[at] ^= 0x20)
}

/// Damages the database in a copy of the queue and opens that.
fn opened_with(place: &Place, damage: impl FnOnce(&mut Vec<u8>)) -> (Place, Store) {
    let flipped = Place::new();
    copy(&place.spool(), &flipped.spool());
    let file = flipped.spool().join("db/db");
    let mut octets = std::fs::read(&file).unwrap();
    damage(&mut octets);
    std::fs::write(&file, octets).unwrap();
    let store = flipped.open();
    (flipped, store)
}

#[tokio::test]
async fn an_octet_of_a_record_or_a_text_costs_one_message_and_is_named() {
    for left in [Left::Unread, Left::Read, Left::Crashed] {
        let (place, mail) = queue(left).await;
        let octets = std::fs::read(place.spool().join("db/db")).unwrap();
        for needle in ["text-0023", "user-0023@one.test"] {
            let found = memchr::memmem::rfind(&octets, needle.as_bytes()).unwrap();
            let (flipped, store) = opened(&place, found + 6);
            let hit = hit(&store, &mail).await;
            let about = format!("{left:?}, {needle}");
            assert_eq!(hit, [mail[23].id], "{about}");
            let found = verify(&store, true).await;
            let ids: Vec<_> = found.iter().map(|damage| damage.id).collect();
            // What a start put aside was named by the start.
            let put_aside = store.sizes().quarantined;
            assert!(
                put_aside > 0 && ids.iter().all(|id| *id == Some(mail[23].id)),
                "{about}: {found:?}"
            );
            assert_eq!(verify(&store, false).await, [], "{about}");
            let store = flipped.crash(store);
            assert_eq!(super::flip_test::hit(&store, &mail).await, hit, "{about}");
        }
    }
}

#[tokio::test]
async fn an_octet_anywhere_costs_one_message_at_most() {
    for left in [Left::Unread, Left::Read, Left::Crashed] {
        let (place, mail) = queue(left).await;
        let octets = std::fs::read(place.spool().join("db/db")).unwrap();
        let used = octets.iter().rposition(|octet| *octet != 0).unwrap();
        for at in (0..used).step_by(used / 15).chain(0..24) {
            let (flipped, store) = opened(&place, at);
            let hit = hit(&store, &mail).await;
            assert!(hit.len() <= 1, "{left:?}, octet {at} of {used}: {hit:?}");
            verify(&store, true).await;
            assert_eq!(
                verify(&store, false).await,
                [],
                "{left:?}, octet {at} of {used}"
            );
            flipped.leave(store);
        }
    }
}

#[tokio::test]
async fn a_block_of_zeros_in_a_text_costs_one_message() {
    for left in [Left::Unread, Left::Read] {
        let (place, mail) = queue(left).await;
        let octets = std::fs::read(place.spool().join("db/db")).unwrap();
        let text = memchr::memmem::rfind(&octets, b"text-0023").unwrap();
        let (_flipped, store) = opened_with(&place, |octets| octets[text..text + 512].fill(0));
        assert_eq!(hit(&store, &mail).await, [mail[23].id], "{left:?}");
    }
}

#[tokio::test]
async fn a_page_that_a_start_did_not_read_is_mended_when_it_is_met() {
    let place = Place::new();
    let mut store = place.open();
    let mut mail = Vec::new();
    for n in 0..400 {
        let octets = format!("text-{n:04}\r\n{}", "x".repeat(25_000));
        mail.push(accept(&store, n, &["a@one.test"], octets.as_bytes()).await);
    }
    for _ in 0..2 {
        store.close().await.unwrap();
        store = place.crash(store);
    }
    store.close().await.unwrap();
    place.leave(store);
    let octets = std::fs::read(place.spool().join("db/db")).unwrap();
    let text = memchr::memmem::rfind(&octets, b"text-0123").unwrap();
    let (_flipped, store) = opened_with(&place, |octets| octets[text] ^= 1);
    let first = read_body(&store, &mail[123]).await;
    assert!(matches!(first, Err(ReadError::Failed(_))), "{first:?}");
    let found = verify(&store, false).await;
    let named: Vec<_> = found
        .iter()
        .map(|damage| (damage.id, damage.what))
        .collect();
    assert_eq!(named, [(Some(mail[123].id), DamagedWhat::Body)]);
    assert_eq!(hit(&store, &mail).await, [mail[123].id]);
    accept(&store, 1_000, &["a@one.test"], b"x").await;
}
