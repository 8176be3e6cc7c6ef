//! The steps of a client.

use std::net::{IpAddr, SocketAddr};

use super::asked::What;
use super::data::DataConn;
use super::{Client, Scene, Waits};
use crate::link::Link;
use crate::model::Event;
use crate::plan::step::{Connect, End, Step, Way};

impl<'a> Client<'a> {
    /// Makes the next step, if it can be made now.
    pub(super) fn step(&mut self, scene: &mut Scene<'_>) -> bool {
        if self.control.as_ref().is_none_or(Link::is_securing) {
            return false;
        }
        match self.waits {
            Waits::Nothing => {}
            Waits::Replies if self.asked.is_empty() => {}
            Waits::Open(index) if !self.asked.has(What::Open(index)) => {}
            Waits::Until(at) if at <= scene.judge.now => {}
            _ => return false,
        }
        self.waits = Waits::Nothing;
        let Some(step) = self.script.steps.get(self.next_step) else {
            return false;
        };
        let is_rude = matches!(step, Step::Raw(_) | Step::Pause(_) | Step::Close(_));
        if !self.greeted && !is_rude {
            return false;
        }
        self.next_step += 1;
        self.perform(step, scene);
        true
    }

    fn perform(&mut self, step: &'a Step, scene: &mut Scene<'_>) {
        let now = scene.judge.now;
        match step {
            Step::Command { line, wait } => {
                self.send_line(line, None, scene);
                self.wait_if(*wait);
            }
            Step::Raw(bytes) => self.send(bytes, None, scene),
            Step::Open { way, connect } => self.open(*way, *connect, scene),
            Step::Transfer { line, wait, data } => {
                let index = self.current.filter(|index| self.data[*index].is_free());
                if let Some(index) = index {
                    self.data[index].start(data);
                }
                self.send_line(line, Some(What::Transfer(index)), scene);
                self.wait_if(*wait);
            }
            Step::Await => self.waits = Waits::Replies,
            Step::Pause(time) => self.waits = Waits::Until(now + *time),
            Step::Stranger { from, bytes } => self.stranger(*from, bytes, scene),
            Step::CloseData(end) => {
                if let Some(index) = self.current {
                    self.data[index].close(*end, now);
                }
            }
            Step::Close(end) => {
                if let Some(link) = &mut self.control {
                    link.end(*end, now);
                }
                self.has_ended = true;
                if *end == End::Half {
                    self.waits = Waits::Replies;
                } else {
                    self.next_step = self.script.steps.len();
                    self.asked.clear();
                }
            }
        }
    }

    fn wait_if(&mut self, wait: bool) {
        if wait {
            self.waits = Waits::Replies;
        }
    }

    fn send(&mut self, bytes: &[u8], what: Option<What>, scene: &Scene<'_>) {
        if self.has_ended {
            return;
        }
        self.asked.send(bytes, what);
        if let Some(link) = &mut self.control {
            link.send(bytes, scene.judge.now);
        }
    }

    fn send_line(&mut self, line: &[u8], what: Option<What>, scene: &Scene<'_>) {
        self.send(&[line, b"\r\n"].concat(), what, scene);
    }

    fn open(&mut self, way: Way, connect: Connect, scene: &mut Scene<'_>) {
        let ip = self.script.from.ip();
        let index = self.data.len();
        let mut listener = None;
        let line = if way.is_passive() {
            match (way, ip) {
                (Way::Pasv, _) => "PASV",
                (Way::EpsvFamily, IpAddr::V4(_)) => "EPSV 1",
                (Way::EpsvFamily, IpAddr::V6(_)) => "EPSV 2",
                _ => "EPSV",
            }
            .to_owned()
        } else {
            let Ok(socket) = scene.server.listen(SocketAddr::new(ip, 0)) else {
                return;
            };
            let port = socket.local_addr().port();
            listener = (connect != Connect::Never).then_some(socket);
            active_line(way, ip, port)
        };
        let mut data = DataConn::new(way, connect, listener);
        if self.asked.has_transfer() {
            data.may_be_another();
        }
        self.data.push(data);
        self.send_line(line.as_bytes(), Some(What::Open(index)), scene);
        if connect != Connect::Never {
            self.waits = Waits::Open(index);
        }
    }

    fn stranger(&mut self, from: SocketAddr, bytes: &[u8], scene: &mut Scene<'_>) {
        let Some(port) = self.passive_port else {
            return;
        };
        let to = SocketAddr::new(scene.server.address().ip(), port);
        if let Ok(stream) = scene.server.connect(from, to) {
            scene.judge.step(self.number, "has a stranger");
            let event = Event::Stranger { port };
            scene.judge.event(self.number, event);
            let _ = stream.write(bytes);
            self.strangers.push(stream);
        }
    }
}

fn active_line(way: Way, ip: IpAddr, port: u16) -> String {
    match (way, ip) {
        (Way::Port, IpAddr::V4(ip)) => {
            let ip = ip.to_string().replace('.', ",");
            format!("PORT {ip},{},{}", port / 256, port % 256)
        }
        (_, IpAddr::V4(ip)) => format!("EPRT |1|{ip}|{port}|"),
        (_, IpAddr::V6(ip)) => format!("EPRT |2|{ip}|{port}|"),
    }
}
