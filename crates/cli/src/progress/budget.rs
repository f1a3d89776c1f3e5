//! What a sweep has spent of what it may spend.

use scheduler::{Budget, Charge};

/// `spent 3.1e15 of 1.0e16 FLOPs, 0.40 of 2.00 device-hours`; None where there is no budget.
pub fn line(budget: &Budget, spent: &Charge) -> Option<String> {
    let flops = budget.flops.map(|limit| {
        format!("{} of {} FLOPs", report::scientific(spent.flops), report::scientific(limit))
    });
    let hours = budget.device_s.map(|limit| {
        format!("{:.2} of {:.2} device-hours", spent.device_s / 3600.0, limit / 3600.0)
    });
    let parts: Vec<_> = flops.into_iter().chain(hours).collect();
    (!parts.is_empty()).then(|| format!("spent {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_given_are_shown() {
        let spent = Charge { flops: 3.1e15, device_s: 1440.0 };
        let both = Budget { flops: Some(1e16), device_s: Some(7200.0) };
        let expected = "spent 3.1e15 of 1.0e16 FLOPs, 0.40 of 2.00 device-hours";
        assert_eq!(line(&both, &spent).as_deref(), Some(expected));
        let hours = Budget { flops: None, ..both };
        assert_eq!(line(&hours, &spent).as_deref(), Some("spent 0.40 of 2.00 device-hours"));
        assert_eq!(line(&Budget::default(), &spent), None);
    }
}
