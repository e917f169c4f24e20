//! What is remembered of attempts and orders, and for how long.

use super::tests::{AT_ONCE, NOW, Place, accept};
use super::*;
use crate::mail::limits::HISTORY_EVENTS_MAX;
use crate::mail::{Answer, EnhancedCode, Reason, RecipientState, StateName, Waiting as WaitsFor};

fn answer(n: u32) -> Answer {
    Answer {
        remote: None,
        status: EnhancedCode::temporary(2, 0),
        reason: Reason::Remote,
        reply: None,
        detail: format!("answer {n}").into(),
    }
}

/// Attempt `n` at the first recipient: deferred, or to the state given.
async fn attempt(store: &Store, id: QueueId, n: u32, to: Option<RecipientState>) {
    let before = store.entry(id).await.unwrap().unwrap().recipients.remove(0);
    let at = UnixMillis(NOW.0 + u64::from(n));
    let after = Recipient {
        state: to.unwrap_or(RecipientState::Deferred { due: at }),
        attempts: n,
        first_attempt: before.first_attempt.or(Some(at)),
        last_attempt: Some(at),
        last_answer: Some(answer(n)),
        ..before.clone()
    };
    let made = change(store, id, before, after, None).await;
    assert!(made);
}

async fn change(
    store: &Store,
    id: QueueId,
    before: Recipient,
    after: Recipient,
    action: Option<&str>,
) -> bool {
    let note = action.map(|action| {
        Arc::new(Note {
            action: action.into(),
            by: "ann".into(),
            reason: "so".into(),
        })
    });
    let change = RecipientChange {
        id,
        before,
        after,
        note,
    };
    store.record(vec![change], vec![]).await.unwrap()[0]
}

/// The operator brings the first recipient into another state.
async fn order(store: &Store, id: QueueId, action: &str, to: RecipientState) {
    let before = store.entry(id).await.unwrap().unwrap().recipients.remove(0);
    let after = Recipient {
        state: to,
        ..before.clone()
    };
    assert!(change(store, id, before, after, Some(action)).await);
}

/// In words.
async fn history(store: &Store, id: QueueId) -> Vec<String> {
    let history = store.history(id).await.unwrap();
    let words = |(_, record): (RecipientNo, HistoryRecord)| match record.event {
        HistoryEvent::Attempt { attempt, answer } => format!("{attempt}: {}", answer.detail),
        HistoryEvent::Operator(note) => format!("{} by {}: {}", note.action, note.by, note.reason),
    };
    history.into_iter().map(words).collect()
}

#[tokio::test]
async fn attempts_and_orders_are_told_in_the_order_of_time_and_go_with_the_message() {
    let place = Place::new();
    let mut store = place.open();
    let id = accept(&store, 1, &["a@one.test", "b@one.test"], b"x")
        .await
        .id;
    assert_eq!(history(&store, id).await, [""; 0]);
    attempt(&store, id, 1, None).await;
    let of = |store: &Store| store.0.engine.trees().unwrap().history.len();
    assert_eq!(
        of(&store),
        0,
        "the last answer stands in the recipient's record"
    );
    attempt(&store, id, 2, None).await;
    let due = UnixMillis(NOW.0 + 9);
    order(&store, id, "retry", RecipientState::Deferred { due }).await;
    attempt(&store, id, 3, Some(RecipientState::Delivered)).await;
    // By the clock of this test all attempts were before the order.
    let found = history(&store, id).await;
    let attempts = ["1: answer 1", "2: answer 2", "3: answer 3"];
    assert_eq!(found[..3], attempts);
    assert_eq!(found[3..], ["retry by ann: so"]);
    store = place.crash(store);
    assert_eq!(history(&store, id).await, found);

    let other = RecipientNo(1);
    let before = store
        .load(id, &[other])
        .await
        .unwrap()
        .unwrap()
        .recipients
        .remove(0);
    let after = Recipient {
        state: RecipientState::Failed,
        ..before.clone()
    };
    assert!(change(&store, id, before, after, Some("bounce")).await);
    let later = crate::observe::wall_clock().after(Duration::from_secs(1));
    let page = store.remove_over(later, AT_ONCE, 10).await.unwrap();
    assert_eq!((page.ids, of(&store)), (vec![id], 0));
}

#[tokio::test]
async fn the_first_attempt_and_the_last_ones_are_remembered() {
    let place = Place::new();
    let store = place.open();
    let id = accept(&store, 1, &["a@one.test"], b"x").await.id;
    let max = u32::try_from(HISTORY_EVENTS_MAX).unwrap();
    for n in 1..=max + 20 {
        attempt(&store, id, n, None).await;
        if n == 5 {
            let due = UnixMillis(NOW.0 + 5_000);
            order(&store, id, "retry", RecipientState::Deferred { due }).await;
        }
    }
    let found = history(&store, id).await;
    assert_eq!(found.len(), HISTORY_EVENTS_MAX + 1);
    assert_eq!(found[0], "1: answer 1");
    assert_eq!(found[1], "22: answer 22");
    let last = format!("{0}: answer {0}", max + 20);
    assert_eq!(found[found.len() - 2..], [last, "retry by ann: so".into()]);
}

#[tokio::test]
async fn what_was_purged_comes_back_whole_within_its_window_and_later_goes() {
    let place = Place::new();
    let store = place.open();
    let message = accept(&store, 1, &["a@one.test"], b"x").await;
    let id = message.id;
    let now = crate::observe::wall_clock();
    let at = |s| now.after(Duration::from_secs(s));
    let keeping = Keeping {
        retention: Duration::from_secs(60),
        undo_window: Duration::from_secs(600),
    };
    let waits = WaitsFor::Queued { due: NOW };
    let purged = |at| RecipientState::Purged { at, was: waits };
    order(&store, id, "purge", purged(now)).await;
    assert_eq!(store.counts().recipients_in(StateName::Purged), 1);
    let sweep = async |s| store.remove_over(at(s), keeping, 10).await.unwrap().ids;
    assert_eq!(sweep(500).await, []);
    order(&store, id, "restore", waits.into()).await;
    assert_eq!(
        store
            .line(&super::tests::destination("one.test"), 9)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(store.counts().recipients_in(StateName::Queued), 1);
    assert_eq!(sweep(10_000).await, [], "its place went with the purge");
    let whole = super::tests::read_body(&store, &message).await.unwrap();
    assert_eq!(whole, b"x");
    order(&store, id, "purge", purged(at(1_000))).await;
    assert_eq!(
        sweep(1_599).await,
        [],
        "since the purge, not since the commit"
    );
    assert_eq!(sweep(1_601).await, [id]);
    let trees = store.0.engine.trees().unwrap();
    let left = [
        &trees.messages,
        &trees.recipients,
        &trees.history,
        &trees.closing,
        &trees.tombstones,
    ];
    assert_eq!(left.map(sled::Tree::len), [0; 5]);
    assert_eq!(store.counts(), Counts::default());
}

#[tokio::test]
async fn a_delivered_and_a_purged_recipient_stay_for_the_longer_of_both_spans() {
    #[track_caller]
    fn check(found: &[QueueId], want: bool, when: &str) {
        assert_eq!(found.len(), usize::from(want), "{when}");
    }
    for [retention, undo] in [[60, 600], [600, 60], [0, 600]] {
        let place = Place::new();
        let store = place.open();
        let id = accept(&store, 1, &["a@one.test", "b@one.test"], b"x")
            .await
            .id;
        let now = crate::observe::wall_clock();
        let was = WaitsFor::Queued { due: NOW };
        order(&store, id, "purge", RecipientState::Purged { at: now, was }).await;
        let other = RecipientNo(1);
        let before = store
            .load(id, &[other])
            .await
            .unwrap()
            .unwrap()
            .recipients
            .remove(0);
        let after = Recipient {
            state: RecipientState::Delivered,
            ..before.clone()
        };
        assert!(change(&store, id, before, after, None).await);
        let keeping = Keeping {
            retention: Duration::from_secs(retention),
            undo_window: Duration::from_secs(undo),
        };
        for (s, goes) in [(30, false), (300, false), (590, false), (660, true)] {
            let at = now.after(Duration::from_secs(s));
            let page = store.remove_over(at, keeping, 10).await.unwrap();
            check(&page.ids, goes, &format!("{retention}, {undo} at {s}"));
        }
    }
}
