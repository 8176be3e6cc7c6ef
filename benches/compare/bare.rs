//! What the kernel alone costs: a blocking loop that serves one session after the other, trusts
//! all input and checks nothing.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use rustix::fs::sendfile;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};

/// Serves the working directory, if this process was started for that.
pub fn serve_if_asked() {
    let Some(port) = env::var(PORT).ok().and_then(|port| port.parse().ok()) else {
        return;
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    for client in listener.incoming() {
        // A session may end in any way.
        let _ = session(client.unwrap());
    }
}

fn session(mut control: TcpStream) -> io::Result<()> {
    control.set_nodelay(true)?;
    let mut lines = BufReader::new(control.try_clone()?);
    let mut line = String::new();
    let mut passive = None;
    control.write_all(b"220 \r\n")?;
    while lines.read_line(&mut line)? > 0 {
        let (verb, path) = line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""));
        let reply = match verb {
            "USER" => "331 \r\n",
            "PASS" => "230 \r\n",
            "QUIT" => return control.write_all(b"221 \r\n"),
            "PASV" => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let [high, low] = listener.local_addr()?.port().to_be_bytes();
                passive = Some(listener);
                &format!("227 (127,0,0,1,{high},{low})\r\n")
            }
            "RETR" | "STOR" => {
                let data = passive.take().ok_or(io::ErrorKind::NotConnected)?;
                let (data, _) = data.accept()?;
                control.write_all(b"150 \r\n")?;
                match verb {
                    "RETR" => retr(&data, path)?,
                    _ => stor(&data, path)?,
                }
                drop(data);
                "226 \r\n"
            }
            _ => "200 \r\n",
        };
        control.write_all(reply.as_bytes())?;
        line.clear();
    }
    Ok(())
}

fn retr(data: &TcpStream, path: &str) -> io::Result<()> {
    let file = File::open(path)?;
    while sendfile(data, &file, None, 1 << 30)? > 0 {}
    Ok(())
}

fn stor(data: &TcpStream, path: &str) -> io::Result<()> {
    let file = File::create(path)?;
    let (read, write) = pipe()?;
    fcntl_setpipe_size(&write, PIPE)?;
    loop {
        let mut left = splice(data, None, &write, None, PIPE, SpliceFlags::MOVE)?;
        if left == 0 {
            return Ok(());
        }
        while left > 0 {
            left -= splice(&read, None, &file, None, left, SpliceFlags::MOVE)?;
        }
    }
}

/// The variable with the port to listen on.
pub const PORT: &str = "FTPDLIB_BENCH_BARE";

const PIPE: usize = 1 << 20;
