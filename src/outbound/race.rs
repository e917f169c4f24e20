//! Several addresses of one host, dialled at staggered times: the first that answers is taken
//! (RFC 8305). So an address that hangs, or a family that does not work here, costs a moment and not
//! a whole connect timeout.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// How long an address is waited for before the next is dialled beside it (RFC 8305 5).
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// How it ended.
#[derive(Debug)]
pub(super) struct Raced<A, T, E> {
    /// The first that answered; `None`: nobody did, and no address is left.
    pub(super) winner: Option<(A, T)>,
    /// Those that said no, in the order in which they did.
    pub(super) failed: Vec<(A, E)>,
}

/// Dials the addresses that are `left`, in their order, each as soon as those before have failed or
/// had their [`STAGGER`]. With a winner, whoever had not answered yet is dropped, which closes it, and
/// stands at the end of `left` again: the winner may turn out to be of no use.
///
/// Ends when the last future of `dial` does; so it is `dial` that bounds the wait.
pub(super) async fn race<A, T, E, F>(
    left: &mut VecDeque<A>,
    dial: impl Fn(&A) -> F,
) -> Raced<A, T, E>
where
    A: Clone + PartialEq,
    F: Future<Output = Result<T, E>>,
{
    let mut failed = Vec::new();
    let mut waiting: Vec<A> = Vec::new();
    let mut dialled = FuturesUnordered::new();
    let numbered = |address: A| {
        let dialling = dial(&address);
        async move { (address, dialling.await) }
    };
    loop {
        if let Some(address) = left.pop_front() {
            waiting.push(address.clone());
            dialled.push(numbered(address));
        }
        let ended = if left.is_empty() {
            dialled.next().await
        } else {
            tokio::select! {
                ended = dialled.next() => ended,
                () = tokio::time::sleep(STAGGER) => continue,
            }
        };
        let Some((address, result)) = ended else {
            return Raced {
                winner: None,
                failed,
            };
        };
        waiting.retain(|other| *other != address);
        match result {
            Ok(connected) => {
                left.extend(waiting);
                return Raced {
                    winner: Some((address, connected)),
                    failed,
                };
            }
            Err(error) => failed.push((address, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::IpAddr;

    use tokio::time::Instant;

    use super::*;

    /// What an address does, and after how many milliseconds.
    #[derive(Clone, Copy)]
    enum Does {
        Answer(u64),
        Refuse(u64),
        Hang,
    }

    use Does::{Answer, Hang, Refuse};

    /// When each was dialled, who won, who failed, who is left; addresses by their last number.
    async fn raced(addresses: &[Does]) -> String {
        let address = |n: usize| IpAddr::from([192, 0, 2, u8::try_from(n).unwrap()]);
        let number = |address: &IpAddr| address.to_string().replace("192.0.2.", "");
        let mut left: VecDeque<IpAddr> = (0..addresses.len()).map(address).collect();
        let begin = Instant::now();
        let dialled = RefCell::new(Vec::new());
        let dial = |to: &IpAddr| {
            let at = begin.elapsed().as_millis();
            dialled.borrow_mut().push(format!("{}@{at}", number(to)));
            let does = addresses[number(to).parse::<usize>().unwrap()];
            async move {
                let (after, result) = match does {
                    Answer(after) => (after, Ok(())),
                    Refuse(after) => (after, Err(())),
                    Hang => (10_000, Err(())),
                };
                tokio::time::sleep(Duration::from_millis(after)).await;
                result
            }
        };
        let Raced { winner, failed } = race(&mut left, dial).await;
        let failed: Vec<String> = failed.iter().map(|(address, ())| number(address)).collect();
        let left: Vec<String> = left.iter().map(number).collect();
        format!(
            "{} | {} | {} | {}",
            dialled.borrow().join(" "),
            winner.map_or("nobody".to_owned(), |(address, ())| number(&address)),
            failed.join(" "),
            left.join(" ")
        )
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_dialled_when_one_has_failed_or_had_its_time() {
        for (addresses, want) in [
            (&[][..], " | nobody |  | "),
            (&[Answer(10), Answer(1)], "0@0 | 0 |  | 1"),
            (&[Refuse(10), Answer(10)], "0@0 1@10 | 1 | 0 | "),
            (&[Hang, Answer(10), Answer(1)], "0@0 1@250 | 1 |  | 2 0"),
            (&[Answer(300), Answer(400)], "0@0 1@250 | 0 |  | 1"),
            (&[Hang, Hang, Answer(1)], "0@0 1@250 2@500 | 2 |  | 0 1"),
            (
                &[Hang, Refuse(10), Answer(1)],
                "0@0 1@250 2@260 | 2 | 1 | 0",
            ),
            (&[Refuse(1), Refuse(1)], "0@0 1@1 | nobody | 0 1 | "),
            (&[Hang, Refuse(1)], "0@0 1@250 | nobody | 1 0 | "),
        ] {
            assert_eq!(raced(addresses).await, want);
        }
    }
}
