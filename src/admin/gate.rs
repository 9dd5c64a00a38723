//! The bytes of a connection, as far as the server may read ahead: one request is answered before the next is read.
//!
//! actix-http takes apart, at 6 kB each, all requests that it has received, up to 128 KiB of them, while the first one
//! is answered or its client does not read. A few hundred connections could take gigabytes that way. Through a gate it
//! gets [`STEP_BYTES`] at a time, and nothing as long as a request of the connection is being answered (unless its body
//! is being read) or an answer cannot be written. A client that sends several requests at once still gets all answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection::Guard;

/// Read at a time. The shortest request has 18 bytes.
const STEP_BYTES: usize = 1_024;

/// What actix-http reads from and writes to.
pub(super) struct Gate {
    stream: TcpStream,
    guard: Arc<Guard>,
    /// The previous read gave something, and the server has not looked at it yet.
    has_given: bool,
    /// The client does not read its answers.
    is_write_blocked: bool,
}

impl Gate {
    /// `guard`: the connection, as it is registered.
    pub(super) fn new(stream: TcpStream, guard: Guard) -> Self {
        Self { stream, guard: Arc::new(guard), has_given: false, is_write_blocked: false }
    }

    /// For those who answer its requests.
    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A successful write wakes it.
        if self.is_write_blocked || self.guard.must_wait(context.waker()) {
            return Poll::Pending;
        }
        let mut step = [0; STEP_BYTES];
        let mut step = ReadBuf::new(&mut step[..STEP_BYTES.min(buffer.remaining())]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut step))?;
        buffer.put_slice(step.filled());
        self.has_given = !step.filled().is_empty();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let was_blocked = std::mem::replace(&mut self.is_write_blocked, written.is_pending());
        if was_blocked && written.is_ready() {
            context.waker().wake_by_ref();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::connection::{Connections, STALL};
    use super::*;

    async fn pair() -> (TcpStream, Gate) {
        let connections = Arc::new(Connections::of_patience(STALL));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let stream = accepted.unwrap().0;
        let guard = connections.accept(&stream).unwrap();
        (client.unwrap(), Gate::new(stream, guard))
    }

    /// How many bytes come without waiting for anybody.
    async fn come(gate: &mut Gate, space: &mut [u8]) -> usize {
        tokio::time::timeout(std::time::Duration::from_millis(100), gate.read(space))
            .await
            .map_or(0, Result::unwrap)
    }

    #[actix_web::test]
    async fn nothing_is_read_while_a_request_is_answered_unless_it_is_its_body() {
        let (mut client, mut gate) = pair().await;
        client.write_all(&[b'x'; 10 * STEP_BYTES]).await.unwrap();
        let mut space = [0; 10 * STEP_BYTES];
        assert_eq!(come(&mut gate, &mut space).await, STEP_BYTES);
        let answering = gate.guard().answering();
        assert_eq!(come(&mut gate, &mut space).await, 0);
        let reading = gate.guard().reading_body();
        assert_eq!(come(&mut gate, &mut space).await, STEP_BYTES);
        drop(reading);
        assert_eq!(come(&mut gate, &mut space).await, 0);
        // A reader that waits is woken by the end of the answer.
        let later = async move {
            tokio::task::yield_now().await;
            drop(answering);
        };
        let (read, ()) = tokio::join!(come(&mut gate, &mut space), later);
        assert_eq!(read, STEP_BYTES);
    }

    #[actix_web::test]
    async fn nothing_is_read_while_the_client_does_not_read() {
        let (mut client, mut gate) = pair().await;
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let (answer, mut space) = (vec![0; 64 << 10], [0; 64]);
        let mut unread = 0;
        let patience = std::time::Duration::from_millis(100);
        while let Ok(written) = tokio::time::timeout(patience, gate.write(&answer)).await {
            unread += written.unwrap();
        }
        assert_eq!(come(&mut gate, &mut space).await, 0);
        client.read_exact(&mut vec![0; unread]).await.unwrap();
        assert!(gate.write(&answer).await.unwrap() > 0);
        assert_eq!(come(&mut gate, &mut space).await, 18);
    }
}
