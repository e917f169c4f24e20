//! Damage of every kind: named, put aside, and never in the way of anything else.

use std::sync::Arc;

use super::super::tests::{NOW, Place, accept, destination, read_body};
use super::super::{Keeping, Note, RecipientChange, key};
use super::*;
use crate::mail::{
    Answer, EnhancedCode, Message, Reason, Recipient, RecipientNo, RecipientState, UnixMillis,
};
use crate::store::{Suspension, SuspensionCause};

async fn verify(store: &Store, repair: bool) -> (Vec<Damage>, u64, u64) {
    let (mut damaged, mut messages, mut bytes, mut from) = (Vec::new(), 0, 0, None);
    loop {
        let page = store.verify(from, repair).await.unwrap();
        damaged.extend(page.damaged);
        messages += page.messages;
        bytes += page.bytes;
        from = page.next;
        if from.is_none() {
            return (damaged, messages, bytes);
        }
    }
}

fn names(damaged: &[Damage]) -> Vec<(Option<QueueId>, DamagedWhat)> {
    damaged
        .iter()
        .map(|damage| (damage.id, damage.what))
        .collect()
}

fn flip(tree: &sled::Tree, key: impl AsRef<[u8]>) {
    let mut value = tree.get(&key).unwrap().unwrap().to_vec();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    tree.insert(key, value).unwrap();
}

async fn hold(store: &Store, message: &Message) {
    let before = store.entry(message.id).await.unwrap().unwrap().recipients[0].clone();
    let by = crate::mail::HeldBy::Operator;
    let note = Note {
        action: "hold".into(),
        by: "ann".into(),
        reason: "".into(),
    };
    let change = RecipientChange {
        id: message.id,
        after: Recipient {
            state: RecipientState::Held { by },
            ..before.clone()
        },
        before,
        note: Some(Arc::new(note)),
    };
    assert_eq!(store.record(vec![change], vec![]).await.unwrap(), [true]);
}

/// A store with one damage of each kind, and what should be found.
async fn damaged(place: &Place) -> (Store, Vec<(Option<QueueId>, DamagedWhat)>, Vec<Message>) {
    let store = place.open();
    let large = vec![b'x'; 100_000];
    let mut mail = Vec::new();
    for n in 0..8 {
        let octets = if n == 2 { &large[..] } else { b"small" };
        let to = ["a@one.test", "b@two.test"];
        mail.push(accept(&store, n, &to, octets).await);
    }
    hold(&store, &mail[4]).await;
    let suspension = Suspension {
        since: NOW,
        until: Some(NOW),
        cause: SuspensionCause::Trouble {
            times: 1,
            answer: Answer {
                remote: None,
                status: EnhancedCode::permanent(1, 1),
                reason: Reason::Remote,
                reply: None,
                detail: "no".into(),
            },
        },
    };
    let kept = vec![(destination("one.test"), Some(suspension))];
    store.keep_suspensions(kept).await.unwrap();
    assert_eq!(verify(&store, true).await, (vec![], 8, 100_035));

    let trees = store.0.engine.trees().unwrap();
    let id = |n: usize| mail[n].id;
    flip(&trees.messages, id(0).to_bytes());
    flip(&trees.bodies, id(1).to_bytes());
    let file = store.0.files.path(&store.0.files.list().unwrap()[0]);
    let mut octets = std::fs::read(&file).unwrap();
    octets[70_000] ^= 1;
    std::fs::write(&file, octets).unwrap();
    flip(&trees.recipients, key::recipient(id(3), RecipientNo(0)));
    let event = trees.history.iter().keys().next().unwrap().unwrap();
    flip(&trees.history, event);
    let line = store.line(&destination("one.test"), 100).await.unwrap();
    let stands = line.iter().find(|item| item.id == id(5)).unwrap();
    trees.due.remove(key::due(stands)).unwrap();
    let wrong = super::super::DueItem {
        due: UnixMillis(1),
        ..stands.clone()
    };
    trees.due.insert(key::due(&wrong), &[]).unwrap();
    flip(&trees.destinations, b"one.test");
    trees.messages.remove(id(6).to_bytes()).unwrap();

    use DamagedWhat::{Body, Destination, History, Message as Record, Place as Stands, Recipient};
    let want = vec![
        (Some(id(0)), Record),
        (Some(id(1)), Body),
        (Some(id(3)), Recipient),
        (Some(id(4)), History),
        (Some(id(5)), Stands),
        (Some(id(2)), Body), // files are read when the page is done
        (Some(id(6)), Recipient),
        (Some(id(6)), Recipient),
        (Some(id(6)), Body),
        (None, Destination),
    ];
    (store, want, mail)
}

#[tokio::test]
async fn each_damage_is_named_and_put_aside_and_all_else_is_served() {
    let place = Place::new();
    let (store, want, mail) = damaged(&place).await;
    for _ in 0..2 {
        let (found, messages, _) = verify(&store, false).await;
        let (places, others): (Vec<_>, Vec<_>) = names(&found)
            .into_iter()
            .partition(|(id, what)| *what == DamagedWhat::Place && *id != Some(mail[5].id));
        let (wrong, others): (Vec<_>, Vec<_>) = (
            others.iter().skip(want.len()).copied().collect(),
            others.into_iter().take(want.len()).collect(),
        );
        assert_eq!(others, want);
        // Those of the messages that can't be read; the message that stands at two times.
        assert_eq!(wrong, [(Some(mail[5].id), DamagedWhat::Place)]);
        assert!(places.iter().all(|(id, _)| id.is_some()));
        assert!(found.iter().all(|damage| damage.quarantined.is_none()));
        assert_eq!(messages, 7);
    }
    assert_eq!(store.sizes().quarantined, 0);

    let (mended, ..) = verify(&store, true).await;
    let kept = mended
        .iter()
        .filter_map(|damage| damage.quarantined.clone());
    for path in kept {
        assert!(path.is_file());
    }
    // message with two recipients and body, body, body, recipient, event, two recipients and a body of
    // a message that is gone, destination
    assert_eq!(store.sizes().quarantined, 4 + 2 + 1 + 1 + 3 + 1);
    assert_eq!(names(&verify(&store, false).await.0), []);
    everything_else_is_there(&store, &mail).await;
    // the record of the recipient is gone, and the other one is still to be attempted
    let left = store.load_waiting(mail[3].id).await.unwrap().unwrap();
    assert_eq!(left.recipients[0].no, RecipientNo(1));
    // a damaged body stays damaged for whoever reads it, and its message can be removed
    for message in &mail[1..3] {
        let error = read_body(&store, message).await.unwrap_err().to_string();
        assert!(error.contains("quarantine/body-"), "{error}");
    }
    for clean in [true, false] {
        if clean {
            store.close().await.unwrap();
        }
    }
    let store = place.crash(store);
    assert_eq!(names(&verify(&store, false).await.0), []);
    assert_eq!(store.counts().messages, 6);
    everything_else_is_there(&store, &mail).await;
    let waiting = crate::mail::StateName::Queued;
    assert_eq!(store.counts().recipients_in(waiting), 6 * 2 - 1 - 1);
}

#[tokio::test]
async fn a_start_after_a_crash_tells_of_damage_and_serves_all_else() {
    let place = Place::new();
    let (store, _, mail) = damaged(&place).await;
    let store = place.crash(store);
    everything_else_is_there(&store, &mail).await;
    for message in &mail[1..3] {
        assert!(read_body(&store, message).await.is_err());
    }
    let (mended, ..) = verify(&store, true).await;
    let bodies = [
        (Some(mail[1].id), DamagedWhat::Body),
        (Some(mail[4].id), DamagedWhat::History),
        (Some(mail[2].id), DamagedWhat::Body),
        (None, DamagedWhat::Destination),
    ];
    assert_eq!(names(&mended), bodies);
    assert_eq!(names(&verify(&store, false).await.0), []);
}

#[tokio::test]
async fn a_clean_start_with_damage_serves_all_else() {
    let place = Place::new();
    let (store, _, mail) = damaged(&place).await;
    store.close().await.unwrap();
    let store = place.crash(store);
    assert!(store.load(mail[0].id, &[RecipientNo(0)]).await.is_err());
    verify(&store, true).await;
    everything_else_is_there(&store, &mail).await;
    let keeping = Keeping {
        retention: std::time::Duration::ZERO,
        undo_window: std::time::Duration::ZERO,
    };
    let later = crate::observe::wall_clock().after(std::time::Duration::from_secs(1));
    let gone = store.remove_over(later, keeping, 100).await.unwrap();
    assert_eq!(gone.ids, []);
}

async fn everything_else_is_there(store: &Store, mail: &[Message]) {
    for (n, recipients) in [(4, 2), (5, 2), (7, 2)] {
        let loaded = store.entry(mail[n].id).await.unwrap().unwrap();
        assert_eq!(loaded.recipients.len(), recipients, "message {n}");
        assert_eq!(read_body(store, &mail[n]).await.unwrap(), b"small");
    }
    let line = store.line(&destination("one.test"), 100).await.unwrap();
    assert!(line.iter().any(|item| item.id == mail[5].id));
    assert!(line.iter().all(|item| item.id != mail[0].id));
}
