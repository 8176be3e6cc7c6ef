//! Another protocol on the loop of the FTP server: it echoes lines, and says how many FTP
//! sessions there are. `cargo run --example echo_server [ADDRESS] [DIRECTORY] [PORT]`,
//! then `nc 127.0.0.1 7777`; `status` asks for the sessions, `quit` ends a conversation.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::ioloop::{Acceptor, AsyncChat, ChatHandler, Io, Terminator};
use ftpdlib::{FTPConfig, FTPHandler, FTPServer, FTPSession};

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// It needs no lock, since all of them run on one thread.
type Sessions = Rc<Cell<u32>>;

struct Counted(Sessions);

impl FTPHandler for Counted {
    fn on_connect(&mut self, _s: &mut FTPSession) {
        self.0.update(|sessions| sessions + 1);
    }

    fn on_disconnect(&mut self, _s: &mut FTPSession) {
        self.0.update(|sessions| sessions - 1);
    }
}

struct Echo {
    sessions: Sessions,
    deadline: Instant,
}

impl ChatHandler for Echo {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        chat.set_terminator(Terminator::Bytes(b"\n".into()));
        chat.push(b"Hello. I say what you say, until you quit.\r\n");
    }

    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]) {
        self.deadline = Instant::now() + IDLE_TIMEOUT;
        match piece.trim_ascii_end() {
            b"status" => {
                chat.push(format!("{} FTP sessions.\r\n", self.sessions.get()).as_bytes());
            }
            b"quit" => {
                chat.push(b"Good-bye.\r\n");
                chat.close_when_done();
            }
            line => {
                chat.push(line);
                chat.push(b"\r\n");
            }
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    fn handle_timeout(&mut self, chat: &mut AsyncChat) {
        chat.push(b"You are silent. Good-bye.\r\n");
        chat.close_when_done();
        // Do not wait forever until the last line is sent.
        self.deadline = Instant::now() + IDLE_TIMEOUT;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let port = args.next().map_or(Ok(7777), |arg| arg.parse())?;
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(authorizer);

    let sessions = Sessions::default();
    let counter = Rc::clone(&sessions);
    let factory = move |_peer| Counted(Rc::clone(&counter));
    let mut server = FTPServer::bind(&address, config, factory)?;

    let acceptor = Acceptor::bind("127.0.0.1", port, move |_peer| Echo {
        sessions: Rc::clone(&sessions),
        deadline: Instant::now() + IDLE_TIMEOUT,
    })?;
    log::info!(target: "ftpdlib", "echoing on {}", acceptor.local_addr()?);
    server.ioloop().add(acceptor);
    server.serve_forever()?;
    Ok(())
}
