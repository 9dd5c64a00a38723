//! Logs one line for each message that is sent, suppressed or given up: recipient and rules, and never an address.

use super::Message;

/// A flood of lines hides the others. Within this time only this many are written, and the rest is counted.
const WINDOW_MS: i64 = 10_000;

/// How many lines of a kind were written recently.
#[derive(Default)]
pub(super) struct LogLimit {
    since_ms: i64,
    lines: u32,
    skipped: u32,
}

impl LogLimit {
    /// Whether one more line may be written, and if so, how many were left out since the last one.
    pub(super) fn admit(&mut self, lines_max: u32, now_ms: i64) -> Option<u32> {
        if now_ms - self.since_ms >= WINDOW_MS {
            (self.since_ms, self.lines) = (now_ms, 0);
        }
        if self.lines >= lines_max {
            self.skipped += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// The limits of a task.
#[derive(Default)]
pub(super) struct Logged {
    sent: LogLimit,
    suppressed: LogLimit,
    failed: LogLimit,
}

impl Logged {
    /// Logs the outcome of a message.
    pub(super) fn outcome(
        &mut self,
        message: &Message,
        outcome: &'static str,
        attempts: u32,
        reason: &str,
        now_ms: i64,
    ) {
        // Replaying a century suppresses millions, and a dead server gives up thousands.
        let (limit, lines_max) = match outcome {
            "sent" => (&mut self.sent, 1_000),
            "suppressed" => (&mut self.suppressed, 100),
            _ => (&mut self.failed, 10),
        };
        let Some(also) = limit.admit(lines_max, now_ms) else { return };
        let mut rules: Vec<&str> = message.notices.iter().map(|told| told.notice.rule_id.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let rules = rules.join(" ");
        let alert = message.alert_ids().next().unwrap_or_default();
        let (channel, recipient, alerts) =
            (message.channel.as_str(), &message.recipient, message.notices.len());
        let message_id = message.id.as_str();
        match outcome {
            "sent" => tracing::info!(
                message_id, rules, %recipient, channel, alert, alerts, attempts, outcome, also, "message sent"
            ),
            "suppressed" => tracing::info!(
                rules, %recipient, channel, alert, attempts, outcome, reason, also, "alert not sent"
            ),
            _ => tracing::warn!(
                message_id, rules, %recipient, channel, alert, alerts, attempts, outcome, reason, also,
                "message given up; its alerts become dead letters"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let mut limit = LogLimit::default();
        let admitted: Vec<_> = (0..5).map(|n| limit.admit(2, 50_000 + n)).collect();
        assert_eq!(admitted, [Some(0), Some(0), None, None, None]);
        assert_eq!(limit.admit(2, 50_000 + WINDOW_MS), Some(3), "the next line says how many are missing");
        assert_eq!(limit.admit(2, 50_001 + WINDOW_MS), Some(0));
    }
}
