//! The store as its users see it: what is kept, over restarts clean and not, and what is refused.

use super::*;
use crate::mail::{
    Address, Answer, BodyKind, Client, EnhancedCode, Envelope, HeldBy, Reason, RecipientState,
    ReversePath, Spelling, StateName,
};

pub(super) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

/// Nothing that is over stays.
pub(super) const AT_ONCE: Keeping = Keeping {
    retention: Duration::ZERO,
    undo_window: Duration::ZERO,
};

pub(super) struct Place {
    dir: tempfile::TempDir,
    /// Which way mail goes, for [`by_route`].
    pub(super) route: std::cell::Cell<u8>,
}

/// 0: each domain in its line; above: domains of so many letters or fewer go to a relay host.
pub(super) fn by_route(route: u8) -> DestinationOf {
    Arc::new(
        move |domain| match domain.to_string().len() <= route.into() {
            true => Destination::of_route("smtp://relay.test:25"),
            false => Destination::of_domain(domain),
        },
    )
}

impl Place {
    pub(super) fn new() -> Place {
        Place {
            dir: tempfile::tempdir().unwrap(),
            route: std::cell::Cell::new(0),
        }
    }

    pub(super) fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub(super) fn options(&self) -> StoreOptions {
        StoreOptions {
            path: self.dir.path().join("spool"),
            destination_of: by_route(self.route.get()),
            routing_fingerprint: self.route.get().to_string(),
            min_free_space: 0,
            events: Events::default(),
            now: NOW,
        }
    }

    pub(super) fn open(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    /// Closes the database without a clean stop, unless there was one.
    pub(super) fn leave(&self, store: Store) {
        let engine = store.0.engine.clone();
        drop(store);
        assert!(engine.close());
    }

    /// Opens again as after a crash: without a clean stop.
    pub(super) fn crash(&self, store: Store) -> Store {
        self.leave(store);
        // The lock goes with the last clone, which the committer's thread lets go of.
        for _ in 0..500 {
            match Store::open(self.options()) {
                Err(OpenError::InUse { .. }) => {
                    std::thread::sleep(std::time::Duration::from_millis(10))
                }
                opened => return opened.unwrap(),
            }
        }
        panic!("the lock was never given back");
    }
}

pub(super) fn recipient(no: u32, address: &str) -> Recipient {
    let address = Address::parse(address.as_bytes(), Spelling::Ascii).unwrap();
    Recipient::new(
        RecipientNo(no),
        address,
        RecipientState::Queued { due: NOW },
    )
}

pub(super) async fn accept(store: &Store, n: u64, to: &[&str], octets: &[u8]) -> Message {
    let recipients = to.iter().zip(0..).map(|(to, no)| recipient(no, to));
    accept_as(store, n, recipients.collect(), octets).await
}

pub(super) async fn accept_as(
    store: &Store,
    n: u64,
    recipients: Vec<Recipient>,
    octets: &[u8],
) -> Message {
    let new = new_message(store, n, recipients, octets).await;
    let message = new.message.clone();
    store.accept(new).await.unwrap();
    message
}

/// So many items of news; they come a moment after the answer to whoever made the change.
pub(super) async fn news(store: &Store, count: usize) -> Vec<DueItem> {
    let mut items = Vec::new();
    while items.len() < count {
        store.news_waiting().await;
        items.extend(store.take_news().items);
    }
    items
}

pub(super) async fn new_message(
    store: &Store,
    n: u64,
    recipients: Vec<Recipient>,
    octets: &[u8],
) -> NewMessage {
    let id = QueueId::new(UnixMillis(NOW.0 + n), u128::from(n));
    let mut intake = store.intake(id, &recipients);
    for piece in octets.chunks(10_000) {
        intake.buffer().extend_from_slice(piece);
        intake.settle().await.unwrap();
    }
    let body = intake.finish().await.unwrap();
    let message = Message {
        id,
        arrival: NOW,
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            body_kind: BodyKind::SevenBit,
            smtputf8: false,
            dsn: Default::default(),
        },
        client: Client::Local,
        added_header: b"Received: here\r\n"[..].into(),
        body: body.facts(),
        message_id: None,
        report_of: None,
    };
    NewMessage {
        message,
        recipients,
        body,
    }
}

pub(super) async fn read_body(store: &Store, message: &Message) -> Result<Vec<u8>, ReadError> {
    let mut reader = store.body(message).await?;
    let mut octets = Vec::new();
    while let Some(piece) = reader.next().await? {
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

async fn deliver(store: &Store, message: &Message, no: u32) -> bool {
    let before = store
        .load(message.id, &[RecipientNo(no)])
        .await
        .unwrap()
        .unwrap()
        .recipients
        .remove(0);
    let after = Recipient {
        state: RecipientState::Delivered,
        attempts: 1,
        ..before.clone()
    };
    let change = RecipientChange {
        id: message.id,
        before,
        after,
        note: None,
    };
    store.record(vec![change], vec![]).await.unwrap()[0]
}

pub(super) fn destination(domain: &str) -> Destination {
    Destination::of_domain(&AddressDomain::parse(domain).unwrap())
}

#[tokio::test]
async fn bodies_of_every_size_come_back_after_a_crash_and_a_clean_stop() {
    let place = Place::new();
    let mut store = place.open();
    let mut want = Vec::new();
    for (n, size) in [0, 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024, 700_001]
        .into_iter()
        .enumerate()
    {
        let octets: Vec<u8> = (0..size)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        want.push((
            accept(&store, n as u64, &["a@b.test"], &octets).await,
            octets,
        ));
    }
    for clean in [false, true] {
        if clean {
            store.close().await.unwrap();
        }
        store = place.crash(store);
        for (message, octets) in &want {
            assert!(
                read_body(&store, message).await.unwrap() == *octets,
                "{} bytes",
                octets.len()
            );
        }
        assert_eq!(store.counts().messages, 6);
        assert_eq!(store.counts().recipients_in(StateName::Queued), 6);
    }
}

#[tokio::test]
async fn lines_are_read_by_destination_and_time_and_follow_the_verdicts() {
    let place = Place::new();
    let store = place.open();
    let first = accept(&store, 1, &["a@one.test", "b@two.test", "c@one.test"], b"x").await;
    assert_eq!(news(&store, 3).await.len(), 3);
    let destinations = store.destinations().await.unwrap();
    assert_eq!(
        destinations,
        [
            (destination("one.test"), NOW),
            (destination("two.test"), NOW)
        ]
    );
    let line = store.line(&destination("one.test"), 10).await.unwrap();
    assert_eq!(
        line.iter().map(|item| item.no.0).collect::<Vec<_>>(),
        [0, 2]
    );
    assert_eq!(
        store.line(&destination("one.test"), 1).await.unwrap().len(),
        1
    );

    assert!(deliver(&store, &first, 0).await);
    assert_eq!(
        store
            .line(&destination("one.test"), 10)
            .await
            .unwrap()
            .len(),
        1
    );
    let store = place.crash(store);
    assert_eq!(store.counts().recipients_in(StateName::Delivered), 1);
    assert_eq!(
        store
            .line(&destination("one.test"), 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_verdict_is_made_once_and_only_about_what_was_read() {
    let place = Place::new();
    let store = place.open();
    let message = accept(&store, 1, &["a@one.test"], b"x").await;
    let before = store
        .load(message.id, &[RecipientNo(0)])
        .await
        .unwrap()
        .unwrap()
        .recipients
        .remove(0);
    let to = |state| RecipientChange {
        id: message.id,
        before: before.clone(),
        after: Recipient {
            state,
            attempts: 1,
            ..before.clone()
        },
        note: None,
    };
    let delivered = to(RecipientState::Delivered);
    assert_eq!(
        store.record(vec![delivered.clone()], vec![]).await.unwrap(),
        [true]
    );
    assert_eq!(
        store.record(vec![delivered], vec![]).await.unwrap(),
        [true],
        "the same once more"
    );
    assert_eq!(
        store
            .record(vec![to(RecipientState::Failed)], vec![])
            .await
            .unwrap(),
        [false]
    );
    assert_eq!(store.counts().recipients_in(StateName::Delivered), 1);
}

#[tokio::test]
async fn what_is_over_is_moved_to_a_file_and_removed_in_time_and_leaves_nothing() {
    let place = Place::new();
    let store = place.open();
    let small = accept(&store, 1, &["a@one.test"], b"small").await;
    let large = accept(&store, 2, &["a@one.test"], &vec![b'x'; 100_000]).await;
    let open = accept(&store, 3, &["a@one.test", "b@one.test"], b"open").await;
    for message in [&small, &large, &open] {
        assert!(deliver(&store, message, 0).await);
    }
    let later = crate::observe::wall_clock().after(std::time::Duration::from_secs(1));
    assert_eq!(store.move_over_to_files(later, 10).await.unwrap(), 2);
    assert_eq!(store.move_over_to_files(later, 10).await.unwrap(), 0);
    assert_eq!(store.0.files.list().unwrap().len(), 2);
    assert_eq!(read_body(&store, &small).await.unwrap(), b"small");
    let store = place.crash(store);
    assert_eq!(read_body(&store, &small).await.unwrap(), b"small");

    let removed = store.remove_over(later, AT_ONCE, 10).await.unwrap();
    assert_eq!((removed.ids.len(), removed.more), (2, false));
    assert_eq!(store.0.files.list().unwrap(), Vec::<String>::new());
    assert_eq!(store.counts().messages, 1);
    assert_eq!(store.counts().bytes, open.size());
    let trees = store.0.engine.trees().unwrap();
    let sizes = [
        &trees.messages,
        &trees.bodies,
        &trees.recipients,
        &trees.due,
        &trees.closing,
    ]
    .map(sled::Tree::len);
    assert_eq!(sizes, [1, 1, 2, 1, 0]);
}

#[tokio::test]
async fn an_intake_that_is_not_accepted_leaves_no_file_and_a_crash_leaves_orphans_that_go() {
    let place = Place::new();
    let store = place.open();
    let mut intake = store.intake(QueueId::new(NOW, 1), &[recipient(0, "a@b.test")]);
    intake.buffer().resize(300_000, b'x');
    intake.settle().await.unwrap();
    assert_eq!(store.0.files.list().unwrap().len(), 1);
    tokio::task::spawn_blocking(move || drop(intake))
        .await
        .unwrap();
    for _ in 0..500 {
        if store.0.files.list().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(store.0.files.list().unwrap(), Vec::<String>::new());
    store
        .0
        .files
        .create(&body_files::name(QueueId::new(NOW, 2), "0123456789abcdef"))
        .unwrap();
    let store = place.crash(store);
    assert_eq!(store.0.files.list().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn damage_is_told_and_never_handed_out() {
    let place = Place::new();
    let store = place.open();
    let small = accept(&store, 1, &["a@one.test"], b"small").await;
    let large = accept(&store, 2, &["a@one.test"], &vec![b'x'; 100_000]).await;
    let lost = accept(&store, 3, &["a@one.test"], b"lost").await;
    let trees = store.0.engine.trees().unwrap();
    trees.bodies.insert(small.id.to_bytes(), b"smell").unwrap();
    trees
        .messages
        .insert(lost.id.to_bytes(), b"nonsense")
        .unwrap();
    let file = store.0.files.path(&store.0.files.list().unwrap()[0]);
    let mut octets = std::fs::read(&file).unwrap();
    octets[50_000] ^= 1;
    std::fs::write(&file, octets).unwrap();
    drop(trees);
    for message in [&small, &large] {
        assert!(matches!(
            read_body(&store, message).await,
            Err(ReadError::Damaged(_))
        ));
    }
    assert!(matches!(
        store.load(lost.id, &[RecipientNo(0)]).await,
        Err(ReadError::Damaged(_))
    ));
    let store = place.crash(store);
    assert_eq!(store.counts().messages, 2);
    // the record of the message, that of its recipient, and its octets
    assert_eq!(store.sizes().quarantined, 3);
}

#[tokio::test]
async fn lines_are_made_anew_when_they_differ_or_routes_change() {
    let place = Place::new();
    let store = place.open();
    accept(&store, 1, &["a@one.test", "b@two.test"], b"x").await;
    let trees = store.0.engine.trees().unwrap();
    trees.due.clear().unwrap();
    trees.due.insert(b"junk", &[]).unwrap();
    drop(trees);
    let store = place.crash(store);
    assert_eq!(store.destinations().await.unwrap().len(), 2);
    assert_eq!(store.0.engine.trees().unwrap().due.len(), 2);
    store.close().await.unwrap();
    drop(store);
    let relay = || Destination::of_route("smtp://relay.test:25");
    let options = StoreOptions {
        destination_of: Arc::new(move |_| relay()),
        routing_fingerprint: "relay".into(),
        ..place.options()
    };
    let store = Store::open(options).unwrap();
    assert_eq!(store.line(&relay(), 10).await.unwrap().len(), 2);
    assert_eq!(store.destinations().await.unwrap().len(), 1);
}

/// Three messages, whose recipients are held by a mode but for the last one of each.
async fn held(store: &Store) -> [QueueId; 3] {
    let mut ids = Vec::new();
    for n in 1..=3 {
        let to = ["a@one.test", "b@one.test", "c@two.test"];
        let held = |(to, no)| Recipient {
            state: RecipientState::Held {
                by: if no < 2 {
                    HeldBy::Mode
                } else {
                    HeldBy::Operator
                },
            },
            ..recipient(no, to)
        };
        let recipients = to.into_iter().zip(0..).map(held).collect();
        ids.push(accept_as(store, n, recipients, b"x").await.id);
    }
    ids.try_into().unwrap()
}

#[tokio::test]
async fn what_a_mode_held_is_released_page_by_page_and_messages_stay_whole() {
    let place = Place::new();
    let store = place.open();
    let [first, second, third] = held(&store).await;
    let one = destination("one.test");
    assert!(store.line(&one, 10).await.unwrap().is_empty());
    let mut from = None;
    for (next, in_line) in [(Some(second), 2), (Some(third), 4), (None, 6)] {
        let page = store.release_held(from, NOW, 1).await.unwrap();
        assert_eq!(page, ReleasedPage { released: 2, next });
        assert_eq!(store.line(&one, 10).await.unwrap().len(), in_line);
        assert_eq!(news(&store, 2).await.len(), 2);
        from = page.next;
    }
    assert_eq!(store.counts().recipients_in(StateName::Held), 3);
    let again = store.release_held(None, NOW, 10).await.unwrap();
    assert_eq!((again.released, again.next), (0, None));
    assert_eq!(store.line(&one, 10).await.unwrap()[0].id, first);
}

#[tokio::test]
async fn a_release_that_was_cut_off_goes_on_after_a_crash_and_after_a_clean_stop() {
    for clean in [false, true] {
        let place = Place::new();
        let mut store = place.open();
        let [_, second, third] = held(&store).await;
        let page = store.release_held(None, NOW, 1).await.unwrap();
        assert_eq!(page.next, Some(second));
        if clean {
            store.close().await.unwrap();
        }
        store = place.crash(store);
        let one = destination("one.test");
        assert_eq!(store.line(&one, 10).await.unwrap().len(), 2);
        assert_eq!(store.counts().recipients_in(StateName::Queued), 2);
        assert_eq!(store.counts().recipients_in(StateName::Held), 7);
        let page = store.release_held(None, NOW, 1).await.unwrap();
        assert_eq!(
            (page.released, page.next),
            (2, Some(third)),
            "clean: {clean}"
        );
        let page = store.release_held(page.next, NOW, 1).await.unwrap();
        assert_eq!((page.released, page.next), (2, None));
        assert_eq!(store.line(&one, 10).await.unwrap().len(), 6);
        assert_eq!(store.counts().recipients_in(StateName::Held), 3);
    }
}

#[tokio::test]
async fn recipients_without_a_message_go_and_those_of_their_neighbours_stay() {
    let place = Place::new();
    let store = place.open();
    for n in 1..=5 {
        accept(&store, n, &["a@one.test", "b@one.test"], b"x").await;
    }
    let trees = store.0.engine.trees().unwrap();
    let ids: Vec<sled::IVec> = trees.messages.iter().keys().flatten().collect();
    // the first, one in the middle that is damaged, and the last
    trees.messages.remove(&ids[0]).unwrap();
    trees.messages.insert(&ids[2], b"damaged").unwrap();
    trees.messages.remove(&ids[4]).unwrap();
    drop(trees);
    let store = place.crash(store);
    let trees = store.0.engine.trees().unwrap();
    let left = |tree: &sled::Tree| -> Vec<sled::IVec> {
        let keys = tree.iter().keys().flatten();
        let mut ids: Vec<_> = keys.map(|key| sled::IVec::from(&key[..16])).collect();
        ids.dedup();
        ids
    };
    let want = [ids[1].clone(), ids[3].clone()];
    assert_eq!(left(&trees.messages), want);
    assert_eq!(left(&trees.recipients), want);
    assert_eq!(left(&trees.bodies), want);
    assert_eq!((trees.recipients.len(), trees.due.len()), (4, 4));
    drop(trees);
    assert_eq!(store.counts().messages, 2);
    assert_eq!(store.counts().recipients_in(StateName::Queued), 4);
}

#[tokio::test]
async fn a_second_process_a_newer_schema_and_a_bad_directory_are_told() {
    let place = Place::new();
    let store = place.open();
    let error = Store::open(place.options()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    store.close().await.unwrap();
    drop(store);
    let schema = place.dir.path().join("spool/schema");
    std::fs::write(&schema, "99\n").unwrap();
    let error = Store::open(place.options()).err().unwrap();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 99, .. }),
        "{error}"
    );
    std::fs::remove_file(schema).unwrap();
    place.open();
    std::fs::write(place.dir.path().join("file"), "").unwrap();
    let options = StoreOptions {
        path: place.dir.path().join("file/spool"),
        ..place.options()
    };
    let error = Store::open(options).err().unwrap();
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
}

#[tokio::test]
async fn reports_come_with_the_verdict_or_not_at_all() {
    let place = Place::new();
    let store = place.open();
    let message = accept(
        &store,
        1,
        &["a@one.test"],
        b"Subject: x\r\nX-Long: y\r\n\r\nbody",
    )
    .await;
    assert_eq!(
        store.header_section(&message, 1_000).await.unwrap(),
        b"Subject: x\r\nX-Long: y\r\n"
    );
    assert_eq!(
        store.header_section(&message, 15).await.unwrap(),
        b"Subject: x\r\n"
    );
    let before = store
        .load(message.id, &[RecipientNo(0)])
        .await
        .unwrap()
        .unwrap()
        .recipients
        .remove(0);
    let answer = Answer {
        remote: None,
        status: EnhancedCode::permanent(1, 1),
        reason: Reason::Remote,
        reply: None,
        detail: "no".into(),
    };
    let after = Recipient {
        state: RecipientState::Failed,
        last_answer: Some(answer),
        ..before.clone()
    };
    let change = RecipientChange {
        id: message.id,
        before,
        after,
        note: None,
    };
    for n in [7, 8] {
        let id = QueueId::new(NOW, n);
        let body = store.intake(id, &[]).finish().await.unwrap();
        let report = Message {
            id,
            body: body.facts(),
            report_of: Some(message.id),
            ..message.clone()
        };
        let recipients = vec![recipient(0, "sender@gp.test")];
        let report = NewMessage {
            message: report,
            recipients,
            body,
        };
        assert_eq!(
            store
                .record(vec![change.clone()], vec![report])
                .await
                .unwrap(),
            [true]
        );
    }
    assert_eq!(
        store.counts().messages,
        2,
        "the second report came with no fresh verdict"
    );
}
