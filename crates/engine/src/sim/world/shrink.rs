//! Makes a script that fails as short as possible.

use super::script::Script;

/// The shortest script found that still fails, by leaving out more and more of its faults.
pub(super) fn shrink(script: &Script, fails: impl Fn(&Script) -> bool) -> Script {
    let mut shortest = script.clone();
    let mut part = shortest.faults.len().div_ceil(2);
    while part > 0 {
        let before = shortest.faults.len();
        let mut at = 0;
        while at < shortest.faults.len() {
            let mut shorter = shortest.clone();
            shorter.faults.drain(at..(at + part).min(shorter.faults.len()));
            if fails(&shorter) {
                shortest = shorter;
            } else {
                at += part;
            }
        }
        // Without one fault, another may not be needed any more.
        let is_shorter = shortest.faults.len() < before;
        part = if is_shorter { part.min(shortest.faults.len()) } else { part / 2 };
    }
    shortest
}
