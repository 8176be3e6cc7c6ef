//! Which of its tickets a client has used. In TLS 1.3 a client may use each ticket only once
//! (RFC 8446 §C.4), and some have none left at last.

/// The tickets of one session that the client has used on its data connections.
///
/// Tickets have numbers. Those of the control connection begin at 0, those of data connections
/// at [`CONTROL_MAX`]. Of the latter, the last 64 are known.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// How many tickets the control connection has issued.
    control: u32,
    /// The bit of each of these that was used.
    control_used: u16,
    /// How many tickets data connections have issued.
    data: u32,
    /// The bit of each of these that was used; the newest has the lowest bit.
    data_used: u64,
    /// The bit of each of these that the client may not have read.
    data_unread: u64,
    /// Whether any was used twice.
    twice: bool,
}

impl Uses {
    /// A ticket is issued. Returns its number.
    pub(super) fn issue(&mut self, of_control: bool) -> Option<u32> {
        if of_control {
            let number = self.control;
            self.control += 1;
            return (number < CONTROL_MAX).then_some(number);
        }
        self.data = self.data.checked_add(1).filter(|data| *data < DATA_MAX)?;
        self.data_used <<= 1;
        self.data_unread <<= 1;
        Some(CONTROL_MAX + self.data - 1)
    }

    /// The client has used a ticket.
    pub(super) fn note(&mut self, number: u32) {
        if number < CONTROL_MAX {
            let bit = 1 << number;
            self.twice |= self.control_used & bit != 0;
            self.control_used |= bit;
        } else if let Some(bit) = self.bit(number) {
            self.twice |= self.data_used & bit != 0;
            self.data_used |= bit;
        }
    }

    /// The client may not have read this ticket of a data connection.
    pub(super) fn note_unread(&mut self, number: u32) {
        self.data_unread |= self.bit(number).unwrap_or(0);
    }

    /// Whether the client has used each ticket that it has read, and none of them twice.
    /// Uploads bring no new ticket, and some clients keep the last ticket only: with
    /// `last_only` it is enough that the last one was used.
    pub(super) fn are_used_up(&self, last_only: bool) -> bool {
        let issued = match self.data {
            0..64 => (1 << self.data) - 1,
            _ => u64::MAX,
        };
        let read = issued & !self.data_unread;
        let control = self.control.min(CONTROL_MAX);
        let last_used = match (read, control) {
            (0, 0) => true,
            (0, _) => self.control_used & (1 << (control - 1)) != 0,
            _ => self.data_used & read & read.wrapping_neg() != 0,
        };
        let all_used = read & !self.data_used == 0 && self.control_used.count_ones() == control;
        !self.twice && (all_used || (last_only && last_used))
    }

    /// The bit of a ticket of a data connection.
    fn bit(&self, number: u32) -> Option<u64> {
        let age = (CONTROL_MAX + self.data).checked_sub(number + 1)?;
        (number >= CONTROL_MAX && age < 64).then(|| 1 << age)
    }
}

/// The most tickets of a control connection.
pub(super) const CONTROL_MAX: u32 = 16;

/// Tickets of data connections end here, long before their numbers do.
const DATA_MAX: u32 = u32::MAX - CONTROL_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// The uses of a session whose control connection has issued two tickets.
    fn two() -> Uses {
        let mut uses = Uses::default();
        assert_eq!((uses.issue(true), uses.issue(true)), (Some(0), Some(1)));
        uses
    }

    #[test]
    fn a_client_may_use_each_ticket_once() {
        let mut uses = two();
        assert!(!uses.are_used_up(false) && !uses.are_used_up(true));
        uses.note(0);
        assert!(!uses.are_used_up(false) && !uses.are_used_up(true));
        uses.note(1);
        assert!(uses.are_used_up(false) && uses.are_used_up(true));
        uses.note(0);
        assert!(!uses.are_used_up(false) && !uses.are_used_up(true));
    }

    #[test]
    fn a_client_may_keep_the_last_ticket_only() {
        let mut uses = two();
        uses.note(1);
        assert!(!uses.are_used_up(false) && uses.are_used_up(true));
        let new = uses.issue(false).unwrap();
        assert!(!uses.are_used_up(true));
        uses.note(new);
        assert!(!uses.are_used_up(false) && uses.are_used_up(true));
    }

    #[test]
    fn a_client_need_not_use_what_it_may_not_have_read() {
        let mut uses = two();
        uses.note(1);
        let new = uses.issue(false).unwrap();
        uses.note_unread(new);
        assert!(uses.are_used_up(true));
        uses.note(0);
        assert!(uses.are_used_up(false));
    }

    #[test]
    fn many_tickets_are_counted_as_well() {
        let mut uses = two();
        uses.note(0);
        uses.note(1);
        for _ in 0..200 {
            let new = uses.issue(false).unwrap();
            assert!(!uses.are_used_up(false) && !uses.are_used_up(true));
            uses.note(new);
            assert!(uses.are_used_up(false) && uses.are_used_up(true));
        }
        // One that is no longer known changes nothing.
        uses.note(CONTROL_MAX);
        assert!(uses.are_used_up(true));
        for _ in 0..CONTROL_MAX {
            uses.issue(true);
        }
        assert_eq!(uses.issue(true), None);
    }
}
