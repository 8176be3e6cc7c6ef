//! Commands that are sent without waiting for the replies.

use testkit::{Server, wait_for};

use super::{COSTLY, skipped_over_tls};

use crate::MODE;

#[test]
fn listings_are_made_one_at_a_time() {
    if skipped_over_tls(COSTLY) {
        return;
    }
    const COUNT: usize = 40;
    let server = Server::start(MODE);
    for index in 0..3000 {
        server.write(&format!("{index:0>100}"), "");
    }
    let mut client = server.login();
    client.send("STAT /\r\n".repeat(COUNT));
    client.send("NOOP\r\n");
    // The first listing fills the connection, until no more comes while other sessions are
    // served; the listings after it hold no descriptors.
    let mut other = server.login();
    let mut arrived = vec![0; 16 << 20];
    let mut before = 0;
    wait_for("a full connection", || {
        for _ in 0..20 {
            other.expect(200, "NOOP");
        }
        let size = client.socket.peek(&mut arrived).unwrap();
        std::mem::replace(&mut before, size) == size
    });
    let root = server.home.path().canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let target = std::fs::read_link(entry.as_ref().unwrap().path());
        target.is_ok_and(|target| target == root)
    });
    let open = open.count();
    assert!(open < 10, "{open} descriptors of the directory");
    for _ in 0..COUNT {
        let text = client.expect_reply(213);
        assert_eq!(text.lines().count(), 3002);
    }
    client.expect_reply(200);
}
