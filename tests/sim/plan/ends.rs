//! How clients leave, and what rude and slow ones do.

use std::time::Duration;

use super::step::{End, Step, Temper};
use super::walker::Walker;

/// The end of a walk.
pub fn end(w: &mut Walker<'_>) {
    if w.temper == Temper::Cut && w.draw.percent(50) {
        // Somewhere in the middle of what it does.
        let at = w.draw.below(w.steps.len() + 1);
        w.steps.truncate(at);
        let end = *w.draw.of(&[End::Fin, End::Reset, End::Half]);
        if w.draw.percent(40) {
            w.steps.push(Step::Raw(b"STOR hal".to_vec()));
        }
        w.steps.push(Step::Close(end));
        return;
    }
    if w.temper == Temper::Pipelining && w.draw.percent(40) {
        w.steps.push(Step::Await);
    }
    match w.draw.below(20) {
        0..14 => w.say("QUIT"),
        14 | 15 => w.steps.push(Step::Close(End::Fin)),
        16 => w.steps.push(Step::Close(End::Reset)),
        17 => w.steps.push(Step::Close(End::Half)),
        18 => {
            w.say("QUIT");
            w.say("NOOP");
        }
        // Until its time is over.
        _ => w.steps.push(Step::Pause(Duration::from_secs(400))),
    }
}

pub fn rudeness(w: &mut Walker<'_>) {
    match w.draw.below(6) {
        0 => w.steps.push(Step::CloseData(End::Reset)),
        1 => w.steps.push(Step::CloseData(End::Fin)),
        2 => pause(w),
        3 => w.say("ABOR"),
        4 => w.steps.push(Step::Raw(b"NO".to_vec())),
        _ => w.steps.push(Step::Raw(b"NOOP\nPWD\r\n".to_vec())),
    }
}

/// Some time, around the time-outs.
pub fn pause(w: &mut Walker<'_>) {
    let times = [1, 40, 900, 3000, 5001, 12_000, 61_000];
    let time = Duration::from_millis(*w.draw.of(&times));
    w.steps.push(Step::Pause(time));
}
