//! Many clients at once: the rows of pyftpdlib's own benchmark page. Each server runs in its
//! turn, freshly started and alone.

use crate::common::{Client, Memory, Speech, millis};
use crate::entrants::Entrant;
use crate::figures::{Figures, Kind};
use crate::options::{Options, Scale, size};
use crate::servers::{ANY, Cost, Server};
use crate::transfers::{begin, end, fetch_all, retr, stor, store_all};
use crate::tree::{LARGE, MIB, SHARE, Tree, WARM};

pub fn run(
    figures: &mut Figures,
    entrants: &[Entrant],
    speech: Speech,
    tree: &Tree,
    options: &Options,
) {
    if !options.wants(speech, "many") {
        return;
    }
    for round in 0..options.scale.many_rounds {
        for turn in 0..entrants.len() {
            let server = (round + turn) % entrants.len();
            if entrants[server].can("many") {
                let page = Page {
                    figures,
                    speech,
                    index: server,
                    server: &Server::start(&entrants[server], speech, tree.home()),
                    tree,
                    scale: &options.scale,
                };
                page.run();
            }
        }
    }
}

/// The rows of the page for one server, in their order.
struct Page<'a> {
    figures: &'a mut Figures,
    speech: Speech,
    index: usize,
    server: &'a Server,
    tree: &'a Tree,
    scale: &'a Scale,
}

impl Page<'_> {
    fn run(mut self) {
        self.memory("at the start", self.server.memory());
        self.one_client();
        let count = self.scale.clients;
        let mut clients = Vec::new();
        let cost = self.server.cost_down_to(ANY, |watch| {
            clients.extend((0..count).map(|_| self.server.session()));
            watch.read_memory();
        });
        self.tell(format!("{count} logins"), &cost);
        self.next_to_idle();
        self.downloads(&mut clients);
        self.uploads(&mut clients);
        let cost = self.server.cost_down_to(1, |_| {
            clients.iter_mut().for_each(|client| client.send("QUIT"));
            clients.into_iter().for_each(Client::left);
        });
        self.tell(format!("{count} QUITs at once"), &cost);
    }

    /// Only their memory is measured.
    fn one_client(&mut self) {
        let mib = self.scale.warm_mib();
        let server = self.server;
        server.in_session(|client| {
            let cost = server.cost(|watch| stor(client, STORED, mib, || watch.read_memory()));
            self.tree.remove(STORED, mib);
            self.memory("STOR", cost.memory.unwrap_or_default());
            let cost = server.cost(|watch| retr(client, WARM, mib, || watch.read_memory()));
            self.memory("RETR", cost.memory.unwrap_or_default());
        });
    }

    fn next_to_idle(&mut self) {
        let (mib, count) = (self.scale.mib, self.scale.clients);
        let server = self.server;
        server.in_session(|client| {
            let cost = server.cost(|watch| stor(client, STORED, mib, || watch.read_memory()));
            self.tree.remove(STORED, mib);
            self.tell(format!("STOR of {} next to {count} idle", size(mib)), &cost);
            let cost = server.cost(|watch| retr(client, LARGE, mib, || watch.read_memory()));
            self.tell(format!("RETR of {} next to {count} idle", size(mib)), &cost);
        });
    }

    fn downloads(&mut self, clients: &mut [Client]) {
        let (mib, count) = (self.scale.share_mib, clients.len());
        let cost = self.server.cost(|watch| {
            let fetch = |client: &mut Client| begin(client, &format!("RETR {SHARE}"));
            let wires = clients.iter_mut().map(fetch).collect();
            watch.read_memory();
            fetch_all(wires, mib);
            clients.iter_mut().for_each(end);
        });
        self.tell(format!("{count} RETRs of {mib} MiB at once"), &cost);
    }

    fn uploads(&mut self, clients: &mut [Client]) {
        let (mib, count) = (self.scale.share_mib, clients.len());
        let name = |number: usize| format!("{STORED}-{number}");
        let cost = self.server.cost(|watch| {
            let store = |(number, client)| begin(client, &format!("STOR {}", name(number)));
            let wires = clients.iter_mut().enumerate().map(store).collect();
            watch.read_memory();
            store_all(wires, mib);
            clients.iter_mut().for_each(end);
        });
        (0..count).for_each(|number| self.tree.remove(&name(number), mib));
        self.tell(format!("{count} STORs of {mib} MiB at once"), &cost);
    }

    fn tell(&mut self, title: String, cost: &Cost) {
        let mut add = |kind, time| {
            let row = (self.speech, kind, title.as_str(), "ms");
            self.figures.add(row, self.index, millis(time));
        };
        add(Kind::Cpu, cost.cpu);
        add(Kind::Wall, cost.wall);
        if let Some(memory) = cost.memory {
            self.memory(&title, memory);
        }
    }

    fn memory(&mut self, title: &str, memory: Memory) {
        let mut add = |kind, bytes: u64| {
            let row = (self.speech, kind, title, "MiB");
            self.figures.add(row, self.index, bytes as f64 / MIB as f64);
        };
        add(Kind::Memory, memory.private);
        add(Kind::Written, memory.written);
    }
}

/// The name of the uploaded file.
const STORED: &str = "in/stored";
