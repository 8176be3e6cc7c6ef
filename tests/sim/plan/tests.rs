//! The generator draws the same for the same seed, and reaches what it is for.

use std::collections::BTreeSet;

use super::draw::Draw;
use super::step::{Data, Step, Temper};

pub fn checks() -> Vec<(&'static str, fn())> {
    vec![
        ("the same seed draws the same scene", || {
            for seed in 0..20 {
                let scene = |seed| super::scene(&mut Draw::new(seed), true);
                assert_eq!(scene(seed), scene(seed));
                assert_ne!(scene(seed), scene(seed + 1000));
            }
        }),
        ("all temperaments and commands are drawn", || {
            let mut tempers = BTreeSet::new();
            let mut verbs = BTreeSet::new();
            let (mut cuts, mut resumed) = (0, 0);
            for seed in 0..150 {
                let scene = super::scene(&mut Draw::new(seed), seed % 5 == 0);
                for client in scene.clients {
                    tempers.insert(client.temper);
                    for step in client.steps {
                        let (Step::Command { line, .. } | Step::Transfer { line, .. }) = &step
                        else {
                            continue;
                        };
                        let word = line.split(|byte| *byte == b' ').next().unwrap_or(b"");
                        verbs.insert(String::from_utf8_lossy(word).into_owned());
                        resumed += usize::from(line.starts_with(b"REST "));
                        if let Step::Transfer { data, .. } = &step {
                            let cut = match data {
                                Data::Upload { cut, .. } => *cut,
                                Data::Download { read, .. } => *read,
                                Data::Idle => None,
                            };
                            cuts += usize::from(cut.is_some());
                        }
                    }
                }
            }
            assert_eq!(tempers.len(), 6);
            assert!(tempers.contains(&Temper::Cut));
            for verb in crate::model::verbs::names() {
                let ways = ["PASV", "EPSV", "PORT", "EPRT", "XMKD", "XRMD", "XCWD"];
                assert!(
                    verbs.contains(verb) || ways.contains(&verb),
                    "{verb} is never drawn"
                );
            }
            assert!(cuts > 20 && resumed > 20, "{cuts} cuts, {resumed} REST");
        }),
    ]
}
