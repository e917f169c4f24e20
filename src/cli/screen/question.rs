//! Asking whoever sits at the terminal.

use std::io::{self, Write as _};

use rustix::io::read;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256;

/// Asks `question` on standard error, and reads a line from standard input, which must be a terminal:
/// it waits for `y` or `yes`, and anything else is a no. Cancel-safe.
pub(in crate::cli) async fn agreed(question: &str) -> io::Result<bool> {
    {
        let mut error = io::stderr().lock();
        write!(error, "{question} [y/N] ")?;
        error.flush()?;
    }
    // Readiness, not a blocking read: so an interruption still comes through.
    #[expect(
        deprecated,
        reason = "unsound only for descriptors that are closed meanwhile; standard input stays"
    )]
    let input = AsyncFd::with_interest(io::stdin(), Interest::READABLE)?;
    let mut ready = input.readable().await?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let count = read(input.get_ref(), &mut answer)?; // a terminal gives a line at a time
    ready.clear_ready();
    let answer = answer[..count].trim_ascii().to_ascii_lowercase();
    Ok(matches!(&*answer, b"y" | b"yes"))
}
