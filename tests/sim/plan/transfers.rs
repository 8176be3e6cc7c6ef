//! Transfers: their ways, and what becomes of them.

use super::step::{Connect, Data, End, Step, Temper, Way};
use super::surroundings;
use super::walker::Walker;

impl Walker<'_> {
    fn way(&mut self) -> Way {
        *self.draw.weighted(&[
            (35, Way::Pasv),
            (30, Way::Epsv),
            (3, Way::EpsvFamily),
            (20, Way::Port),
            (12, Way::Eprt),
        ])
    }

    fn connect(&mut self) -> Connect {
        let never = match self.temper {
            Temper::Rude | Temper::Hostile => 15,
            _ => 3,
        };
        *self.draw.weighted(&[
            (70, Connect::Now),
            (27, Connect::Late),
            (never, Connect::Never),
        ])
    }

    fn open(&mut self) {
        let (way, connect) = (self.way(), self.connect());
        self.steps.push(Step::Open { way, connect });
        self.has_port = true;
    }

    fn transfer(&mut self, line: Vec<u8>, data: Data) {
        let wait = self.waits();
        self.steps.push(Step::Transfer { line, wait, data });
        self.has_port = false;
    }

    /// How a client ends its data connection, and after how many bytes.
    fn cut(&mut self, size: usize) -> (Option<usize>, End) {
        let often = match self.temper {
            Temper::Cut => 45,
            Temper::Rude => 25,
            _ => 3,
        };
        if !self.draw.percent(often) {
            return (None, End::Fin);
        }
        let end = *self.draw.of(&[End::Fin, End::Reset, End::Reset, End::Half]);
        (Some(self.draw.below(size + 1)), end)
    }

    fn reading(&mut self) -> Data {
        let (read, end) = self.cut(3000);
        Data::Download { read, end }
    }

    fn writing(&mut self) -> Data {
        let bytes = surroundings::content(self.draw, self.marker);
        let pieces = match self.draw.below(5) {
            0 => vec![self.draw.within(1, 10)],
            1 => vec![1, 2, 3, self.draw.within(1, 2000)],
            2 => vec![self.draw.within(1, 70_000)],
            _ => Vec::new(),
        };
        // Not thousands of writes.
        let pieces = match bytes.len() > 4000 && pieces.iter().sum::<usize>() < 100 {
            true => Vec::new(),
            false => pieces,
        };
        let (cut, end) = self.cut(bytes.len());
        let end = match (end, self.draw.percent(10)) {
            (End::Fin, true) => End::Half,
            (end, _) => end,
        };
        Data::Upload {
            bytes,
            pieces,
            cut,
            end,
            eager: self.draw.percent(20),
        }
    }

    fn begin_download(&mut self) {
        if self.draw.percent(20) {
            let position = self.draw.below(300);
            self.say("TYPE I");
            self.say(format!("REST {position}"));
        }
        let path = self.a_file();
        let line = self.line("RETR", &path);
        let data = self.reading();
        self.transfer(line, data);
    }

    fn begin_upload(&mut self) {
        let data = self.writing();
        if self.is_shared && self.draw.percent(40) {
            let command = *self.draw.of(&["STOR", "STOR", "APPE"]);
            let path = self.written(surroundings::SHARED);
            let line = self.line(command, &path);
            return self.transfer(line, data);
        }
        let (command, path) = match self.draw.below(10) {
            0..4 => {
                let path = self.new_absolute();
                let written = self.written(&path);
                self.files.push(path);
                ("STOR", written)
            }
            4 | 5 => ("STOR", self.a_file()),
            6 => {
                let position = self.draw.below(60);
                self.say("TYPE I");
                self.say(format!("REST {position}"));
                ("STOR", self.a_file())
            }
            7 | 8 => ("APPE", self.a_file()),
            _ => match self.draw.percent(50) {
                true => ("STOU", String::new()),
                false => ("STOU", self.new_path()),
            },
        };
        let line = self.line(command, &path);
        self.transfer(line, data);
    }

    fn begin_listing(&mut self) {
        let command = *self
            .draw
            .of(&["LIST", "MLSD", "NLST", "LIST -la", "LIST", "MLSD"]);
        let path = match self.draw.below(10) {
            0..4 => String::new(),
            4 => "*".to_owned(),
            5 => self.a_file(),
            _ => self.a_dir(),
        };
        let line = self.line(command, &path);
        let (read, end) = self.cut(200);
        self.transfer(line, Data::Download { read, end });
    }
}

pub fn download(w: &mut Walker<'_>) {
    w.open();
    w.begin_download();
}

pub fn upload(w: &mut Walker<'_>) {
    w.open();
    w.begin_upload();
}

pub fn listing(w: &mut Walker<'_>) {
    w.open();
    w.begin_listing();
}

/// A data connection that may stay unused.
pub fn open_only(w: &mut Walker<'_>) {
    w.open();
    match w.draw.below(4) {
        0 => w.steps.push(Step::CloseData(End::Fin)),
        1 => w.steps.push(Step::CloseData(End::Reset)),
        2 => w.say("ABOR"),
        _ => {}
    }
}

/// The transfer first, then its data connection.
pub fn without_port(w: &mut Walker<'_>) {
    let path = w.a_file();
    let line = match w.draw.below(3) {
        0 => w.line("RETR", &path),
        1 => w.line("STOR", &path),
        _ => b"LIST".to_vec(),
    };
    w.steps.push(Step::Command { line, wait: false });
    match w.draw.below(5) {
        0 => w.say("ABOR"),
        1 => w.say("REIN"),
        _ => {
            w.open();
            w.begin_listing();
        }
    }
}

/// A transfer, and commands while it goes on.
pub fn interrupted(w: &mut Walker<'_>) {
    w.open();
    match w.draw.percent(50) {
        true => w.begin_download(),
        false => w.begin_upload(),
    }
    if let Some(Step::Transfer { wait, .. }) = w.steps.last_mut() {
        *wait = false;
    }
    for _ in 0..w.draw.within(1, 3) {
        match w.draw.below(12) {
            0..3 => w.say("ABOR"),
            3 => w.say("STAT"),
            4 => w.say("NOOP"),
            5 => w.log_in(),
            6 => w.say("REIN"),
            7 => w.open(),
            8 => {
                let path = w.anything();
                w.say_path("DELE", &path);
            }
            9 => w.say("QUIT"),
            10 => {
                let (from, to) = (w.a_file(), w.new_path());
                w.say_path("RNFR", &from);
                w.say_path("RNTO", &to);
            }
            _ => {
                let path = w.a_file();
                w.say_path("SIZE", &path);
            }
        }
    }
}

/// Two transfers for one data port.
pub fn two_transfers(w: &mut Walker<'_>) {
    w.open();
    w.begin_download();
    if let Some(Step::Transfer { wait, .. }) = w.steps.last_mut() {
        *wait = false;
    }
    match w.draw.percent(50) {
        true => w.begin_listing(),
        false => w.begin_upload(),
    }
    if let Some(Step::Transfer { wait, .. }) = w.steps.last_mut() {
        *wait = false;
    }
    w.open();
    w.steps.push(Step::Await);
}
