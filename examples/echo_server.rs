//! No FTP at all, only the loop: a server that echoes lines, tells how many there
//! were, and says good-bye to the silent. `cargo run --example echo_server [PORT]`,
//! then `nc 127.0.0.1 7777`; `quit` ends a conversation.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ftpdlib::ioloop::{Acceptor, AsyncChat, ChatHandler, IOLoop, Io, Terminator};

const PATIENCE: Duration = Duration::from_secs(60);

struct Echo {
    /// Lines of all conversations: all of them run on one thread.
    total: Rc<Cell<u64>>,
    lines: u64,
    deadline: Instant,
}

impl ChatHandler for Echo {
    fn on_connect(&mut self, chat: &mut AsyncChat, _io: &mut Io<'_>) {
        chat.set_terminator(Terminator::Bytes(b"\n".into()));
        chat.push(b"Hello. I say what you say, until you quit.\r\n");
    }

    fn found_terminator(&mut self, chat: &mut AsyncChat, piece: &[u8]) {
        self.deadline = Instant::now() + PATIENCE;
        self.lines += 1;
        self.total.set(self.total.get() + 1);
        let line = piece.trim_ascii_end();
        if line == b"quit" {
            chat.push(format!("{} lines. Good-bye.\r\n", self.lines).as_bytes());
            chat.close_when_done();
        } else {
            chat.push(line);
            chat.push(b"\r\n");
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    fn handle_timeout(&mut self, chat: &mut AsyncChat) {
        chat.push(b"You are silent. Good-bye.\r\n");
        chat.close_when_done();
        // The last words are not waited for forever.
        self.deadline = Instant::now() + PATIENCE;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(7777), |arg| arg.parse())?;
    let total = Rc::new(Cell::new(0));
    let mut ioloop = IOLoop::new()?;

    let counter = Rc::clone(&total);
    let acceptor = Acceptor::bind("127.0.0.1", port, move |_peer| Echo {
        total: Rc::clone(&counter),
        lines: 0,
        deadline: Instant::now() + PATIENCE,
    })?;
    log::info!(target: "ftpdlib", "listening on {}", acceptor.local_addr()?);
    ioloop.add(acceptor);
    ioloop.call_every(Duration::from_secs(10), move |_io| {
        log::info!(target: "ftpdlib", "{} lines echoed", total.get());
    });
    ioloop.run()?;
    Ok(())
}
