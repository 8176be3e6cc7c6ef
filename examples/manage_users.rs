//! Users that another thread changes while the server runs:
//! `cargo run --example manage_users [ADDRESS] [DIRECTORY] [ADDRESS OF THE MANAGER]`, then
//! `nc 127.0.0.1 2122` with lines such as `add joe secret`, `password joe other`, `perm joe elr`,
//! `remove joe` and `list`. Every client of that address can change the users.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use ftpdlib::authorizers::DummyAuthorizer;
use ftpdlib::handlers::StockHandler;
use ftpdlib::{FTPConfig, FTPServer, Sessions};

struct Manager {
    /// The table of the server.
    users: Arc<DummyAuthorizer>,
    sessions: Sessions,
    home: PathBuf,
}

impl Manager {
    /// Carries out a line, and returns what to answer.
    fn manage(&self, line: &str) -> Result<String, Box<dyn Error>> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["add", name, password] => self.users.add_user(name, password, &self.home, "elr")?,
            ["password", name, password] => self.users.set_password(name, password)?, // next login
            ["perm", name, perm] => self.users.set_perm(name, perm)?, // next command
            ["remove", name] => {
                self.users.remove_user(name).ok_or("no such user")?;
                self.sessions.close_user(name);
            }
            ["list"] => {
                let sessions = self.sessions.list()?.into_iter();
                let line = |s: ftpdlib::SessionInfo| {
                    format!("{} {}\n", s.address, s.username.unwrap_or_default())
                };
                return Ok(sessions.map(line).collect());
            }
            _ => return Err("add, password, perm, remove, list".into()),
        }
        Ok("ok\n".to_owned())
    }

    fn serve(&self, listener: &TcpListener) -> io::Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let lines = BufReader::new(stream.try_clone()?).lines();
            for line in lines.map_while(Result::ok) {
                let answer = self.manage(&line);
                let answer = answer.unwrap_or_else(|err| format!("{err}\n"));
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    ftpdlib::log::config_logging(log::LevelFilter::Info)?;
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:2121".to_owned());
    let home = args.next().unwrap_or_else(|| ".".to_owned());
    let manager = args.next().unwrap_or_else(|| "127.0.0.1:2122".to_owned());
    let listener = TcpListener::bind(manager)?;
    log::info!(target: "ftpdlib", "users are managed at {}", listener.local_addr()?);

    let users = Arc::new(DummyAuthorizer::new());
    users.add_user("user", "12345", &home, "elradfmwMT")?;
    let mut config = FTPConfig::default();
    config.set_authorizer(Arc::clone(&users));
    let mut server = FTPServer::bind(&address, config, |_peer| StockHandler)?;
    let manager = Manager {
        users,
        sessions: server.sessions(),
        home: Path::new(&home).to_owned(),
    };
    thread::spawn(move || manager.serve(&listener));
    server.serve_forever()?;
    Ok(())
}
