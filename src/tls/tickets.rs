//! Which control session a data connection belongs to: the tickets that a session seals and
//! opens, and those of other sessions of its client.
//!
//! A ticket holds the state of a TLS session and the number of the control session, sealed
//! with a key that no client knows. A data connection that offers one, and proves that it
//! knows the secret in it, belongs to the client that received it. The server stores no
//! ticket. A ticket may be used more than once: many clients resume every data connection
//! with the one from the control connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ids::{Owner, Secret, SessionId, Standing};
use super::provider::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use super::provider::{hmac, random};
use super::registry::Registry;
use super::uses::Uses;

/// A control session: its number and owner, and its tickets.
pub(super) struct SessionTickets {
    registry: Arc<Registry>,
    id: SessionId,
    address: IpAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owner: Owner,
    keys: Option<Keys>,
    uses: Uses,
    /// Whether a data connection has resumed the session, or another one of its client.
    resumed: bool,
    /// The name of a TLS 1.2 session and its secret, if the client takes no tickets.
    named: Option<Box<Named>>,
}

/// A session of TLS 1.2 that is resumed by its name (RFC 5246 §7.4.1.2).
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// The keys that seal the tickets of a session.
struct Keys {
    /// Begins each of its tickets.
    salt: Salt,
    /// The first key. The client may keep a ticket of the control connection for hours,
    /// while secrets come and go.
    first: Secret,
    /// The key from the secret of `epoch`, if that is not the first one.
    last: Option<Box<Secret>>,
    epoch: u64,
}

impl Keys {
    fn last(&self) -> &Secret {
        self.last.as_deref().unwrap_or(&self.first)
    }
}

/// What a data connection has offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Offered {
    #[default]
    None,
    /// An old one, or no ticket of this server at all.
    Foreign,
    /// One of a session of another user or address.
    Another,
    /// One of a session where nobody is logged in yet: it may still become kin.
    Unproven,
    /// One of another session of the same user at the same address.
    Kin,
    /// One that this session has issued.
    Own,
}

/// What was found behind an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offered: Offered,
    /// The session and the state of its TLS, unless it is foreign.
    pub(super) state: Option<(SessionId, Vec<u8>)>,
}

impl Found {
    const FOREIGN: Self = Self {
        offered: Offered::Foreign,
        state: None,
    };

    const ANOTHER: Self = Self {
        offered: Offered::Another,
        state: None,
    };
}

impl SessionTickets {
    /// A control session begins with a client at this address. `None` if the system cannot
    /// lock shared memory.
    pub(super) fn new(registry: &Arc<Registry>, address: IpAddr) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            id: registry.begin()?,
            registry: Arc::clone(registry),
            address,
            state: Mutex::default(),
        }))
    }

    /// This user is logged in from now on; `None`: nobody.
    pub(super) fn set_user(&self, user: Option<&str>) {
        let owner = match user {
            None => Owner::NOBODY,
            Some(ANONYMOUS) => Owner::ANYBODY,
            Some(user) => self.registry.owner(user, self.address),
        };
        let before = std::mem::replace(&mut self.state().owner, owner);
        if before != owner {
            self.registry.set_owner(self.id, owner);
        }
    }

    /// Whether a data connection has resumed the session, or another one of its client.
    pub(super) fn was_resumed(&self) -> bool {
        self.state().resumed
    }

    pub(super) fn note_resumed(&self) {
        self.state().resumed = true;
    }

    /// As [`Uses::are_used_up`].
    pub(super) fn are_used_up(&self, last_only: bool) -> bool {
        self.state().uses.are_used_up(last_only)
    }

    pub(super) fn note_unread(&self, number: u32) {
        self.state().uses.note_unread(number);
    }

    // --- tickets

    /// Seals the state of a TLS session, in a ticket of this session or of `other`. Returns the
    /// ticket and its number.
    pub(super) fn seal(
        &self,
        of_control: bool,
        other: Option<SessionId>,
        state: &[u8],
    ) -> Option<(Vec<u8>, u32)> {
        let secrets = self.registry.secrets()?;
        let mut own = self.state();
        let number = own.uses.issue(of_control)?;
        if own.keys.is_none() {
            let salt = random()?;
            own.keys = Some(Keys {
                salt,
                first: derive(&secrets.current, &salt),
                last: None,
                epoch: secrets.epoch,
            });
        }
        let keys = own.keys.as_mut()?;
        if keys.epoch != secrets.epoch {
            keys.last = Some(Box::new(derive(&secrets.current, &keys.salt)));
            keys.epoch = secrets.epoch;
        }
        let mut ticket = Vec::with_capacity(HEADER + ID + state.len() + TAG);
        ticket.extend_from_slice(&keys.salt);
        ticket.extend_from_slice(&number.to_be_bytes());
        let mut sealed = Vec::with_capacity(ID + state.len() + TAG);
        let id = other.unwrap_or(self.id);
        sealed.extend_from_slice(&id.number.to_be_bytes());
        sealed.extend_from_slice(&id.entry.to_be_bytes());
        sealed.push(other.is_none().into());
        sealed.extend_from_slice(state);
        let (nonce, header) = (nonce(number), Aad::from(&ticket));
        let key = key(keys.last())?;
        key.seal_in_place_append_tag(nonce, header, &mut sealed)
            .ok()?;
        ticket.extend_from_slice(&sealed);
        Some((ticket, number))
    }

    /// Opens a ticket that a data connection of this session offers.
    pub(super) fn open(&self, takes_kin: bool, ticket: &[u8]) -> Found {
        let Some((id, number, state)) = self.unseal(ticket) else {
            return Found::FOREIGN;
        };
        let found = self.judge(takes_kin, id, state);
        if let (Offered::Own, Some(number)) = (found.offered, number) {
            self.state().uses.note(number);
        }
        found
    }

    /// Decides about the state of another or this session.
    fn judge(&self, takes_kin: bool, id: SessionId, state: Vec<u8>) -> Found {
        let offered = match id {
            id if id == self.id => Offered::Own,
            id if takes_kin => match self.standing(id) {
                Standing::Kin => Offered::Kin,
                Standing::Open => Offered::Unproven,
                Standing::Another => return Found::ANOTHER,
                Standing::Foreign => return Found::FOREIGN,
            },
            _ => return Found::FOREIGN,
        };
        let state = Some((id, state));
        Found { offered, state }
    }

    /// What another session is to the user of this one.
    pub(super) fn standing(&self, id: SessionId) -> Standing {
        let owner = self.state().owner;
        self.registry.standing(id, owner)
    }

    /// The session, the number and the state in a ticket of this server. There is no number if
    /// it does not count among those of its session.
    fn unseal(&self, ticket: &[u8]) -> Option<(SessionId, Option<u32>, Vec<u8>)> {
        let (header, sealed) = ticket.split_at_checked(HEADER)?;
        let (salt, number) = header.split_at_checked(size_of::<Salt>())?;
        let salt = Salt::try_from(salt).ok()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let own = match &self.state().keys {
            Some(keys) if keys.salt == salt => [Some(*keys.last()), Some(keys.first)],
            _ => [None, None],
        };
        let open = |secret: Secret| {
            let mut sealed = sealed.to_vec();
            let nonce = nonce(number);
            let size = key(&secret)?.open_in_place(nonce, Aad::from(header), &mut sealed);
            let size = size.ok()?.len();
            sealed.truncate(size);
            Some(sealed)
        };
        let opened = own.into_iter().flatten().find_map(open);
        let opened = opened.or_else(|| {
            let secrets = self.registry.secrets()?;
            let all = [Some(secrets.current), secrets.previous];
            let mut all = all.into_iter().flatten();
            all.find_map(|secret| open(derive(&secret, &salt)))
        })?;
        let (id, state) = opened.split_at_checked(ID)?;
        let (session, rest) = id.split_at_checked(size_of::<u64>())?;
        let (entry, counts) = rest.split_at_checked(size_of::<u32>())?;
        let id = SessionId {
            number: u64::from_be_bytes(session.try_into().ok()?),
            entry: u32::from_be_bytes(entry.try_into().ok()?),
        };
        let number = (counts == [1]).then_some(number);
        Some((id, number, state.to_vec()))
    }

    // --- sessions with a name

    /// The client resumes by this name.
    pub(super) fn keep_named(&self, named: Named) {
        let Named { name, value } = &named;
        self.registry.keep_named(self.id, name, value);
        self.state().named = Some(Box::new(named));
    }

    /// The session with a name that a data connection of this session offers.
    pub(super) fn find_named(&self, takes_kin: bool, name: &[u8]) -> Found {
        let own = |named: &Named| (named.name == name).then(|| named.value.clone());
        let own = self.state().named.as_deref().and_then(own);
        let found = own.map(|value| (self.id, value));
        match found.or_else(|| self.registry.find_named(name)) {
            Some((id, value)) => self.judge(takes_kin, id, value),
            None => Found::FOREIGN,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionTickets {
    fn drop(&mut self) {
        self.registry.end(self.id);
    }
}

impl fmt::Debug for SessionTickets {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTickets")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

type Salt = [u8; 16];

/// The key of one session: no two sessions have the same.
fn derive(secret: &Secret, salt: &Salt) -> Secret {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), salt);
    let mut key = [0; 32];
    key.copy_from_slice(tag.as_ref());
    key
}

fn key(secret: &Secret) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, secret).ok()?;
    Some(LessSafeKey::new(key))
}

/// The nonce of a ticket. No two tickets of a session have the same number.
fn nonce(number: u32) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The size of the salt and the number of a ticket, which are not sealed.
const HEADER: usize = size_of::<Salt>() + size_of::<u32>();

/// The size of the number of a session, of its entry, and of the byte that says whether the
/// ticket counts among those of its session.
const ID: usize = size_of::<u64>() + size_of::<u32>() + 1;

const TAG: usize = 16;

/// The user without a password.
const ANONYMOUS: &str = "anonymous";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::ioloop::clock::Clock;

    fn registry() -> Arc<Registry> {
        Arc::new(Registry::new(Clock::SYSTEM).unwrap())
    }

    fn session(registry: &Arc<Registry>, user: Option<&str>) -> Arc<SessionTickets> {
        at(registry, user, 1)
    }

    fn at(registry: &Arc<Registry>, user: Option<&str>, host: u8) -> Arc<SessionTickets> {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        let session = SessionTickets::new(registry, address).unwrap();
        session.set_user(user);
        session
    }

    fn ticket(of: &SessionTickets) -> Vec<u8> {
        of.seal(true, None, b"secret").unwrap().0
    }

    fn offered(to: &SessionTickets, ticket: &[u8]) -> Offered {
        let Found { offered, state } = to.open(true, ticket);
        let state = state.map(|(_, state)| state);
        let is_foreign = offered <= Offered::Another;
        assert_eq!(state.as_deref(), (!is_foreign).then_some(&b"secret"[..]));
        offered
    }

    #[test]
    fn tickets_belong_to_the_sessions_of_their_client() {
        let registry = registry();
        let alice = session(&registry, Some("alice"));
        let own = ticket(&alice);
        assert_eq!(offered(&alice, &own), Offered::Own);
        assert_eq!(offered(&alice, &own), Offered::Own);
        let again = session(&registry, Some("alice"));
        assert_eq!(offered(&again, &own), Offered::Kin);
        assert_eq!(again.open(false, &own), Found::FOREIGN);
        for other in [
            session(&registry, Some("bob")),
            session(&registry, Some("anonymous")),
            at(&registry, Some("alice"), 2),
        ] {
            assert_eq!(offered(&other, &own), Offered::Another);
            assert_eq!(offered(&alice, &ticket(&other)), Offered::Another);
        }
    }

    #[test]
    fn a_ticket_from_before_the_login_counts_for_its_user() {
        let registry = registry();
        let alice = session(&registry, None);
        let own = ticket(&alice);
        let again = session(&registry, Some("alice"));
        assert_eq!(offered(&again, &own), Offered::Unproven);
        alice.set_user(Some("alice"));
        assert_eq!(offered(&again, &own), Offered::Kin);
        alice.set_user(Some("bob"));
        assert_eq!(offered(&again, &own), Offered::Another);
        assert_eq!(offered(&alice, &own), Offered::Own);
        alice.set_user(None);
        assert_eq!(offered(&again, &own), Offered::Unproven);
        // Sessions without one user are not those of one client.
        for user in [None, Some("anonymous")] {
            alice.set_user(user);
            again.set_user(user);
            assert_eq!(offered(&again, &own), Offered::Foreign);
        }
    }

    /// So it brings whoever has it no nearer to this session.
    #[test]
    fn a_ticket_for_another_session_is_good_for_that_one() {
        let registry = registry();
        let (alice, bob) = (
            session(&registry, Some("alice")),
            session(&registry, Some("bob")),
        );
        let sealed = alice.seal(false, Some(bob.id), b"secret").unwrap().0;
        assert_eq!(offered(&alice, &sealed), Offered::Another);
        assert_eq!(offered(&bob, &sealed), Offered::Own);
        assert_eq!(offered(&bob, &sealed), Offered::Own);
        assert!(bob.are_used_up(false));
    }

    #[test]
    fn tickets_outlive_their_session() {
        let registry = registry();
        let alice = session(&registry, Some("alice"));
        let own = ticket(&alice);
        drop(alice);
        let again = session(&registry, Some("alice"));
        assert_eq!(offered(&again, &own), Offered::Kin);
        assert_eq!(
            offered(&session(&registry, Some("bob")), &own),
            Offered::Another
        );
    }

    #[test]
    fn a_changed_ticket_is_foreign() {
        let registry = registry();
        let alice = session(&registry, Some("alice"));
        let own = ticket(&alice);
        for index in 0..own.len() {
            let mut changed = own.clone();
            changed[index] ^= 1;
            assert_eq!(offered(&alice, &changed), Offered::Foreign, "{index}");
            assert_eq!(offered(&alice, &own[..index]), Offered::Foreign, "{index}");
        }
        assert_eq!(offered(&alice, &[0; 65_536]), Offered::Foreign);
        let elsewhere = session(&self::registry(), Some("alice"));
        assert_eq!(offered(&elsewhere, &own), Offered::Foreign);
    }

    #[test]
    fn no_two_tickets_are_alike() {
        let registry = registry();
        let alice = session(&registry, Some("alice"));
        let bob = session(&registry, Some("bob"));
        let all = [
            ticket(&alice),
            ticket(&alice),
            ticket(&bob),
            alice.seal(false, None, b"secret").unwrap().0,
        ];
        for (i, one) in all.iter().enumerate() {
            for other in &all[..i] {
                assert_ne!(one[HEADER..], other[HEADER..]);
            }
        }
    }

    #[test]
    fn names_belong_to_the_sessions_of_their_client() {
        let registry = registry();
        let alice = session(&registry, Some("alice"));
        let (name, value) = (vec![7; 32], b"value".to_vec());
        alice.keep_named(Named {
            name: name.clone(),
            value: value.clone(),
        });
        let found = |session: &SessionTickets, takes_kin, name: &[u8]| {
            let found = session.find_named(takes_kin, name);
            let state = found.state.map(|(_, state)| state);
            assert!(state.is_none_or(|state| state == value));
            found.offered
        };
        assert_eq!(found(&alice, false, &name), Offered::Own);
        let again = session(&registry, Some("alice"));
        assert_eq!(found(&again, true, &name), Offered::Kin);
        assert_eq!(found(&again, false, &name), Offered::Foreign);
        assert_eq!(found(&again, true, &[8; 32]), Offered::Foreign);
        let bob = session(&registry, Some("bob"));
        assert_eq!(found(&bob, true, &name), Offered::Another);
    }
}
