//! Sockets: a client comes, sends messages, and leaves or vanishes; then the next one may come.

use std::{
    fmt, fs,
    io::{self, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
};

use crate::{
    function::{Function, Next},
    protocol::{HEADER, Header, MAX_FDS},
};

/// How long a client may usually take over the rest of a message it has begun, and over taking an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How a client's visit ended.
#[derive(Debug)]
pub enum End {
    /// It closed the connection between two messages.
    Left,
    /// It came and went without a word.
    Silent,
    /// It broke the protocol or the connection.
    Broken(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left"),
            Self::Silent => f.write_str("somebody looked in"),
            Self::Broken(why) => write!(f, "the client was dropped: {why}"),
        }
    }
}

/// Listens at `path`. A socket that a dead server left there is replaced; anything else is not touched.
///
/// # Errors
/// Somebody listens there already, the path holds something else, or the folder does not let us.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there"));
        }
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Serves the next client from its connection to its end. One that stops within a message, or does not take its
/// answers, for longer than `patience` is dropped.
///
/// # Errors
/// Nobody can connect any more.
pub fn serve(listener: &UnixListener, function: &mut Function, patience: Duration) -> io::Result<End> {
    let (stream, _) = listener.accept()?;
    let end = match visit(stream, function, patience) {
        Ok(()) if function.is_greeted() => End::Left,
        Ok(()) => End::Silent,
        Err(error) => End::Broken(error.to_string()),
    };
    function.disconnected();
    Ok(end)
}

/// One client's visit: the engine works between its messages.
fn visit(mut stream: UnixStream, function: &mut Function, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    loop {
        let wait = match function.run() {
            Next::Now => Some(Duration::ZERO),
            Next::After(time) => Some(time),
            Next::Message => None,
        };
        if !has_message(&stream, wait)? {
            continue;
        }
        let Some((header, files)) = receive_header(&stream)? else { return Ok(()) };
        let length = header.payload().map_err(io::Error::other)?;
        let mut payload = vec![0; length];
        stream
            .read_exact(&mut payload)
            .map_err(|error| because(format!("message {} stops early", header.id), &error))?;
        let outcome = function.handle(header.command, &payload, files);
        if let Err(refusal) = &outcome {
            eprintln!("ioat-vfio: message {} refused: {refusal}", header.id);
        }
        if header.wants_reply() {
            stream.write_all(&header.reply(&outcome)).map_err(|error| {
                because(format!("the answer to message {} is not taken", header.id), &error)
            })?;
        }
    }
}

/// `what` happened, and the reason; a time-out goes without saying.
fn because(what: String, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => io::Error::other(what),
        _ => io::Error::other(format!("{what}: {error}")),
    }
}

/// Waits until the client has sent something or left; `None` waits without limit.
fn has_message(stream: &UnixStream, wait: Option<Duration>) -> io::Result<bool> {
    let limit = wait.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    match poll(&mut [PollFd::new(stream, PollFlags::IN)], limit.as_ref()) {
        Ok(ready) => Ok(ready != 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The next header with the files that came along; `None` at the end of the connection.
fn receive_header(stream: &UnixStream) -> io::Result<Option<(Header, Vec<OwnedFd>)>> {
    let mut bytes = [0; HEADER];
    let mut files = Vec::new();
    let mut have = 0;
    while have < HEADER {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes[have..])];
        let received = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(|error| because(format!("a header stops after {have} bytes"), &error.into()))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        match received.bytes {
            0 if have == 0 => return Ok(None),
            0 => {
                return Err(io::Error::other(format!("the connection ended after {have} bytes of a header")));
            }
            count => have += count,
        }
    }
    Ok(Some((Header::parse(&bytes), files)))
}
