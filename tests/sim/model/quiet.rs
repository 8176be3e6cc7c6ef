//! Which replies are due when the server is at rest.

use std::time::Duration;

use super::judge::{Judge, SLACK};
use super::lines::Cut;
use super::session::Conn;
use super::transfer::{Payload, Transfer};
use super::verbs;
use super::{FaultKind, Verdict};
use crate::plan::scene::Answers;
use crate::plan::step::End;

/// How long the final reply of a short download may wait for its client to close.
const ENDING: Duration = Duration::from_millis(50);

/// The longest pause of a throttled data connection: the bytes of a second have come in no time,
/// and the second that they should have taken is still to come.
const PAUSE: Duration = Duration::from_secs(2);

impl Judge<'_> {
    pub fn due_reply(&self) -> Verdict {
        if self.is_login_late() {
            return self.fault(FaultKind::Missing, "the login", "421", "silence");
        }
        if let Some(transfer) = &self.s.transfer {
            if let Some(what) = self.is_over(transfer) {
                let wanted = format!("its final reply, since {what}");
                return self.fault(FaultKind::Missing, transfer.name, &wanted, "silence");
            }
            // A download may be at its end, and then holds all commands.
            let holds = !matches!(transfer.what, Payload::Upload(_));
            if holds && self.now < transfer.started + ENDING + SLACK {
                return Ok(());
            }
        }
        let Some(head) = self.s.queue.front() else {
            return self.time_outs();
        };
        let Cut::Line(line) = &head.cut else {
            return self.fault(FaultKind::Missing, "a long line", "500", "silence");
        };
        let verb = verbs::parse(line, true).verb.map_or("", |verb| verb.name);
        let settings = &self.w.settings;
        let patient = match verb {
            "PASS" if self.s.login.is_none() && self.s.asked.is_some() => self.may_wait(),
            "PORT" | "EPRT" if self.s.transfer.is_none() => {
                self.now < self.s.head_since + settings.active_timeout + SLACK
            }
            // Another session may have the file: the server asks it to end, and waits.
            "STOR" | "APPE" if self.is_loose() => true,
            // The 150 of a transfer without its connection was sent under the protection as it is.
            "PROT" => self
                .s
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.is_pending()),
            _ => self.s.transfer.is_some() && verbs::needs_data(verb),
        };
        if patient || self.s.prot || self.s.http {
            return Ok(());
        }
        self.fault(
            FaultKind::Missing,
            &line[..line.len().min(100)].escape_ascii().to_string(),
            "a reply",
            "silence",
        )
    }

    /// Whether the client should have been closed by now, because it has not logged in. No command
    /// puts that off, and no answer that the client waits for; but a transfer may end first.
    fn is_login_late(&self) -> bool {
        let settings = &self.w.settings;
        // The server may have been at work for others when the client has come.
        let work = match settings.tick.is_zero() {
            true => Duration::from_secs(1),
            false => Duration::from_secs(60),
        };
        let latest = self.s.nobody_since.1 + settings.login_timeout + work + SLACK;
        let is_owed = self.s.login.is_none() && !settings.login_timeout.is_zero();
        let is_idle = self.s.transfer.is_none() && self.s.conns.iter().all(Conn::has_ended);
        is_owed && is_idle && !self.s.prot && !self.s.http && self.now > latest
    }

    /// Whether PASS may still wait: for the authorizer, or for the delay of a refusal.
    fn may_wait(&self) -> bool {
        let settings = &self.w.settings;
        let answer = match settings.authorizer {
            Answers::AtOnce => Duration::ZERO,
            // The world decides when the job runs.
            Answers::Job => return true,
            Answers::Later(delay) => delay,
        };
        let latest = self.s.head_since + answer + settings.auth_failed_timeout;
        // The server may have been at work for others when the command came.
        self.now < latest + self.work() + SLACK
    }

    /// How long the server may be at work for others: each look at the clock takes a while.
    fn work(&self) -> Duration {
        match self.w.settings.tick.is_zero() {
            true => Duration::ZERO,
            false => Duration::from_secs(60),
        }
    }

    /// Whether a time-out should have come by now. The clock of the model begins with what the
    /// client has read or sent last, which is never before that of the server.
    fn time_outs(&self) -> Verdict {
        let settings = &self.w.settings;
        let over = |since: Duration, limit: Duration| {
            !limit.is_zero() && self.now > since + limit + SLACK + Duration::from_secs(1)
        };
        if let Some(port) = &self.s.port {
            let waits = port.passive && port.conn.is_none() && !port.stranger;
            if waits && over(self.s.touched.max(port.since), settings.passive_timeout) {
                return self.fault(FaultKind::Missing, "the passive port", "421", "silence");
            }
            return Ok(());
        }
        let idle = self.s.transfer.is_none() && self.s.conns.iter().all(Conn::has_ended);
        if idle && over(self.s.touched, settings.timeout) {
            return self.fault(
                FaultKind::Missing,
                "the control connection",
                "421",
                "silence",
            );
        }
        // One without its handshake is given up earlier, and then the transfer has none.
        let is_open = |conn: &Conn| conn.is_secure || !self.s.prot;
        let stuck = |conn: &&Conn| conn.used_by.is_some() && !conn.has_ended() && is_open(conn);
        if let Some(conn) = self.s.conns.iter().find(stuck)
            && self.s.transfer.is_some()
            && settings.throttle == (0, 0)
            && over(conn.last.max(self.s.touched), settings.data_timeout * 2)
        {
            return self.fault(FaultKind::Missing, "a silent transfer", "421", "silence");
        }
        Ok(())
    }

    /// Why a transfer must be over by now; `None` if it need not.
    fn is_over(&self, transfer: &Transfer) -> Option<&'static str> {
        let conn = self
            .s
            .conns
            .iter()
            .find(|conn| Some(conn.id) == transfer.conn)?;
        if self.s.prot || transfer.stolen {
            return None;
        }
        // One that its client has closed is forgotten when nothing has used it for so long.
        let limit = self.w.settings.data_timeout;
        if !limit.is_zero() && transfer.started + SLACK >= conn.opened + limit {
            return None;
        }
        match &transfer.what {
            Payload::Upload(_) if self.now <= self.latest_end(conn) => None,
            Payload::Upload(_) => match conn.by_client {
                Some(End::Fin | End::Half) => Some("its client has closed"),
                Some(End::Reset) => Some("its client has reset it"),
                None => None,
            },
            Payload::Download(_) | Payload::Listing(_) => {
                let late = self.now >= transfer.started + ENDING + SLACK;
                (conn.by_server && late).then_some("the server has closed")
            }
        }
    }

    /// When the server has read all of an upload that its client has ended, at the latest.
    fn latest_end(&self, conn: &Conn) -> Duration {
        let (_, limit) = self.w.settings.throttle;
        let sent = u64::try_from(conn.sent.len()).unwrap_or(u64::MAX);
        let Some(seconds) = sent.checked_div(limit) else {
            return Duration::ZERO;
        };
        let pauses = PAUSE * u32::try_from(seconds + 1).unwrap_or(u32::MAX);
        let ended = conn.client_ended.unwrap_or(self.now);
        ended.max(conn.last) + pauses + self.work() + SLACK
    }

    /// A throttled download goes on after each pause.
    pub fn data_quiet(&self, id: u32) -> Verdict {
        let (limit, _) = self.w.settings.throttle;
        let gone = self.s.client_end.is_some() || self.s.was_reset || self.s.server_end;
        let of = |transfer: &&Transfer| {
            transfer.conn == Some(id)
                && !transfer.stolen
                && !matches!(transfer.what, Payload::Upload(_))
        };
        let Some(transfer) = self.s.transfer.as_deref().filter(of) else {
            return Ok(());
        };
        let Some(conn) = self.s.conns.iter().find(|conn| conn.id == id) else {
            return Ok(());
        };
        if limit == 0 || gone || conn.has_ended() || self.s.prot || self.w.drained.is_some() {
            return Ok(());
        }
        let since = conn.last.max(transfer.started);
        if self.now <= since + PAUSE + self.work() + SLACK {
            return Ok(());
        }
        let what = transfer.name;
        self.fault(FaultKind::Missing, what, "bytes after the pause", "silence")
    }
}
