//! Data connections.

use super::finish::difference;
use super::judge::{Judge, Stray};
use super::lines::Cut;
use super::session::Conn;
use super::transfer::{Payload, Transfer};
use super::verbs;
use super::{By, FaultKind, Verdict};
use crate::plan::step::End;

impl Judge<'_> {
    pub fn data_opened(&mut self, id: u32, passive: bool, number: u16) -> Verdict {
        self.s.conns.push(Conn {
            id,
            number,
            passive,
            opened: self.now,
            early: Vec::new(),
            received: 0,
            sent: Vec::new(),
            by_client: None,
            client_ended: None,
            sent_at: 0,
            ended_at: 0,
            by_server: false,
            was_reset: false,
            is_cut: false,
            is_secure: false,
            is_stray: false,
            is_given: false,
            used_by: None,
            last: self.now,
        });
        let of = Some((passive, number));
        if passive && self.w.has_few_ports && self.asks_for_port() {
            self.blur(id, of);
        }
        if let Some(port) = &mut self.s.port
            && Some((port.passive, port.number)) == of
            && port.conn.is_none()
        {
            port.conn = Some(id);
            let since = port.since;
            if let Some(conn) = self.s.conn(id) {
                conn.is_given = true;
                if !passive {
                    // The server has made it, and the client accepts later.
                    conn.opened = since;
                    conn.last = since;
                }
            }
            return self.bind(id);
        }
        // After REIN the port is no parameter any more, but the transfer goes on.
        if let Some(transfer) = &self.s.transfer
            && transfer.port == of
            && transfer.conn.is_none()
        {
            return self.bind(id);
        }
        // A client that accepts when all has been sent.
        let waits = |transfer: &&mut Transfer| transfer.port == of && transfer.conn.is_none();
        if let Some(transfer) = self.s.ended.iter_mut().find(waits) {
            transfer.conn = Some(id);
            let serial = transfer.serial;
            if let Some(conn) = self.s.conn(id) {
                conn.used_by = Some(serial);
            }
        } else if passive {
            if let Some(conn) = self.s.conn(id) {
                conn.is_stray = true;
            }
            self.w.strays.push(Stray {
                at: self.now,
                from: self.s.ip,
                number,
            });
        }
        Ok(())
    }

    /// Whether a command that waits asks for another passive port. It may have got the number of
    /// the port before it.
    fn asks_for_port(&self) -> bool {
        self.s.queue.iter().any(|command| match &command.cut {
            Cut::Line(line) => verbs::parse(line, true)
                .verb
                .is_some_and(|verb| matches!(verb.name, "PASV" | "EPSV")),
            Cut::TooLong(_) => false,
        })
    }

    /// For which port of its number a connection is, is not known.
    fn blur(&mut self, id: u32, of: Option<(bool, u16)>) {
        if let Some(conn) = self.s.conn(id) {
            conn.is_stray = true;
        }
        if let Some(port) = &mut self.s.port
            && Some((port.passive, port.number)) == of
        {
            port.stranger = true;
        }
        if let Some(transfer) = &mut self.s.transfer
            && transfer.port == of
        {
            transfer.stolen = true;
            transfer.loose = true;
            if matches!(transfer.what, Payload::Upload(_)) {
                self.relax();
            }
        }
    }

    pub fn data_sent(&mut self, id: u32, bytes: &[u8]) {
        let (now, at) = (self.now, self.w.events);
        if let Some(conn) = self.s.conn(id) {
            conn.sent.extend_from_slice(bytes);
            conn.last = now;
            conn.sent_at = at;
        }
    }

    /// Bytes of a data connection, which must be those that its transfer has next.
    pub fn data(&mut self, id: u32, bytes: &[u8]) -> Verdict {
        let now = self.now;
        let Some(conn) = self.s.conn(id) else {
            return Ok(());
        };
        conn.last = now;
        let Some(serial) = conn.used_by else {
            conn.early.extend_from_slice(bytes);
            return Ok(());
        };
        let from = conn.received;
        conn.received += bytes.len();
        let is_stray = conn.is_stray;
        let of = |transfer: &&Transfer| transfer.serial == serial;
        let current = self.s.transfer.as_deref();
        let Some(transfer) = current.into_iter().chain(&self.s.ended).find(of) else {
            if is_stray {
                return self.no_secret(bytes);
            }
            return self.fault(FaultKind::Data, "a data connection", "no bytes", "bytes");
        };
        let what = transfer.name;
        match &transfer.what {
            Payload::Upload(_) if is_stray => self.no_secret(bytes),
            Payload::Upload(_) => {
                self.fault(FaultKind::Data, what, "no bytes", "bytes from the server")
            }
            Payload::Download(_) if self.is_loose_transfer(transfer) => self.no_secret(bytes),
            Payload::Download(wanted) => {
                if wanted.get(from..from + bytes.len()) == Some(bytes) {
                    return Ok(());
                }
                let text = difference(&wanted[from.min(wanted.len())..], bytes);
                self.fault(FaultKind::Data, what, "the bytes of the file", &text)
            }
            // Listings are judged as a whole.
            Payload::Listing(_) => {
                self.no_secret(bytes)?;
                if let Some(conn) = self.s.conn(id) {
                    conn.early.extend_from_slice(bytes);
                }
                Ok(())
            }
        }
    }

    pub fn data_ended(&mut self, id: u32, by: By) -> Verdict {
        let (now, at) = (self.now, self.w.events);
        let Some(conn) = self.s.conn(id) else {
            return Ok(());
        };
        match by {
            By::Client(end) => {
                // The last word of the client counts.
                if conn.by_client != Some(End::Reset) {
                    conn.by_client = Some(end);
                }
                conn.client_ended = Some(now);
                conn.ended_at = at;
            }
            By::Server => conn.by_server = true,
            By::ServerCut => (conn.by_server, conn.is_cut) = (true, true),
            By::ServerReset | By::Network => conn.was_reset = true,
        }
        let nobody = !conn.is_stray && conn.used_by.is_none() && !conn.early.is_empty();
        let conn_id = conn.id;
        let unread = !self.s.queue.is_empty();
        if matches!(by, By::Server | By::ServerCut)
            && nobody
            && !unread
            && self.s.transfer.is_none()
        {
            return self.fault(
                FaultKind::Data,
                "a data connection",
                "no bytes",
                "bytes without a transfer",
            );
        }
        self.look_at_end(conn_id)
    }

    /// Judges what a download or listing has brought, if its reply and its end are both there.
    pub fn look_at_end(&mut self, id: u32) -> Verdict {
        let Some(at) = self
            .s
            .ended
            .iter()
            .position(|transfer| transfer.conn == Some(id))
        else {
            return Ok(());
        };
        let Some(conn) = self.s.conns.iter().find(|conn| conn.id == id) else {
            return Ok(());
        };
        if !conn.has_ended() {
            return Ok(());
        }
        let transfer = &self.s.ended[at];
        // The client may have left before it has read all.
        let whole = conn.by_server && !conn.was_reset && transfer.code == Some(226);
        let what = transfer.name;
        if whole && conn.is_cut && self.w.drained.is_none() {
            let got = "the end of the connection only";
            return self.fault(FaultKind::Data, what, "the end of TLS", got);
        }
        if !self.is_loose_transfer(transfer) {
            match &transfer.what {
                Payload::Download(wanted) if whole && conn.received != wanted.len() => {
                    let text = format!("{} bytes", conn.received);
                    let all = format!("{} bytes", wanted.len());
                    return self.fault(FaultKind::Data, what, &all, &text);
                }
                Payload::Listing(listing) => {
                    if let Err(text) = listing.judge(&conn.early, whole) {
                        return self.fault(FaultKind::Listing, what, "the tree", &text);
                    }
                }
                _ => {}
            }
        }
        if conn.by_server || conn.was_reset || conn.by_client == Some(End::Reset) {
            self.s.ended.remove(at);
        }
        Ok(())
    }
}
