//! A pseudo-terminal that a program runs on.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::ioctl_fionbio;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal, from the side of its user.
pub struct Terminal(Arc<Mutex<Option<File>>>);

impl Terminal {
    /// Opens a terminal. Returns the side of the program, too.
    pub(crate) fn open() -> (Self, File) {
        // A program that inherits it would keep it from hanging up.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        ioctl_fionbio(&master, true).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let flags = OpenptFlags::NOCTTY.bits();
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.cast_signed())
            .open(name)
            .unwrap();
        let master = File::from(master);
        (Self(Arc::new(Mutex::new(Some(master)))), slave)
    }

    /// Presses keys.
    pub fn type_keys(&self, keys: &[u8]) {
        let mut master = self.0.lock().unwrap();
        master.as_mut().unwrap().write_all(keys).unwrap();
    }

    /// Closes the window.
    pub fn hang_up(self) {
        *self.0.lock().unwrap() = None;
    }

    /// Hands all that the program writes to a function, in a thread of its own.
    pub(crate) fn show(&self, show: impl Fn(&[u8]) + Send + 'static) {
        let master = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let read = match &mut *master.lock().unwrap() {
                    Some(master) => master.read(&mut chunk),
                    None => return,
                };
                match read {
                    Ok(size @ 1..) => show(&chunk[..size]),
                    Err(err) if err.kind() == ErrorKind::WouldBlock => {
                        std::thread::park_timeout(Duration::from_millis(2));
                    }
                    // All programs have left it.
                    Ok(0) | Err(_) => return,
                }
            }
        });
    }
}
