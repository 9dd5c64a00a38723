//! One connection between a client and a broker, forwarded request by request and answer by answer.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, copy, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::addresses::{self, Kind};
use super::line::{Fate, Line, Trouble};

/// More than any request or answer has; the length comes from outside.
const FRAME_BYTES_MAX: usize = 128 << 20;

/// What the answer to a request needs, by the request's correlation id.
#[derive(Default)]
struct Expected(Mutex<HashMap<i32, Expectation>>);

#[derive(Clone, Copy)]
enum Expectation {
    /// It has addresses, in the form of this version.
    Addresses(Kind, i16),
    /// It is lost.
    Loss,
}

impl Expected {
    fn answer(&self, id: i32, expectation: Expectation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, expectation);
    }

    fn take(&self, id: i32) -> Option<Expectation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// Forwards to the broker of this host and port until either side ends the connection, or the line does. `find` gives
/// the port of the door to a broker.
///
/// # Errors
/// The reason why it ended. Nobody needs it; it helps to understand a run.
pub(super) async fn forward(
    client: TcpStream,
    (host, port): &(String, u16),
    line: &Line,
    find: &(impl Fn(&str, u16) -> Option<u16> + Sync),
) -> Result<(), Error> {
    if line.now() == Trouble::Cut {
        return Ok(());
    }
    let broker = TcpStream::connect((host.as_str(), *port)).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_broker, mut to_broker)) =
        (client.into_split(), broker.into_split());
    let expected = Expected::default();
    let end = tokio::select! {
        end = requests(&mut from_client, &mut to_broker, line, &expected) => end?,
        end = answers(&mut from_broker, &mut to_client, line, &expected, find) => end?,
        () = line.is_cut() => End::Cut,
    };
    if end == End::Silence {
        // Neither side is notified, until the client loses patience.
        copy(&mut from_client, &mut sink()).await?;
    }
    Ok(())
}

/// How the proxy ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides are notified.
    Cut,
    /// Something was lost, and nothing may follow it.
    Silence,
}

/// Passes requests on, and notes which answers matter.
async fn requests(
    client: &mut OwnedReadHalf,
    broker: &mut OwnedWriteHalf,
    line: &Line,
    expected: &Expected,
) -> Result<End, Error> {
    loop {
        let frame = read(client).await?;
        // Each request begins with its kind, its version and its correlation id.
        let [k0, k1, v0, v1, i0, i1, i2, i3, ..] = frame[4..] else {
            return Err(Error::from(ErrorKind::InvalidData));
        };
        let (api_key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
        let id = i32::from_be_bytes([i0, i1, i2, i3]);
        match line.fate(api_key) {
            Fate::IsLost => return Ok(End::Cut),
            Fate::AnswerIsLost => expected.answer(id, Expectation::Loss),
            Fate::Passes => {
                if let Some(kind) = Kind::of(api_key) {
                    expected.answer(id, Expectation::Addresses(kind, version));
                }
            }
        }
        if !line.pass(&frame, broker).await? {
            return Ok(End::Silence);
        }
    }
}

/// Passes answers on, with the addresses of doors in the place of brokers'.
async fn answers(
    broker: &mut OwnedReadHalf,
    client: &mut OwnedWriteHalf,
    line: &Line,
    expected: &Expected,
    find: &(impl Fn(&str, u16) -> Option<u16> + Sync),
) -> Result<End, Error> {
    loop {
        let mut frame = read(broker).await?;
        let [_, _, _, _, i0, i1, i2, i3, ..] = frame[..] else {
            return Err(Error::from(ErrorKind::InvalidData));
        };
        match expected.take(i32::from_be_bytes([i0, i1, i2, i3])) {
            Some(Expectation::Loss) => return Ok(End::Cut),
            Some(Expectation::Addresses(kind, version)) => {
                let body = addresses::replace(kind, version, &frame[4..], find)
                    .ok_or_else(|| Error::other(format!("cannot read {kind:?} of version {version}")))?;
                let length = u32::try_from(body.len()).map_err(Error::other)?;
                frame = [&length.to_be_bytes(), &body[..]].concat();
            }
            None => {}
        }
        if !line.pass(&frame, client).await? {
            return Ok(End::Silence);
        }
    }
}

/// A request or an answer, including the four bytes with its length.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, Error> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > FRAME_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidData, "this is not Kafka's protocol"));
    }
    let mut frame = vec![0; 4 + bytes];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}
