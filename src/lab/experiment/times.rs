//! How long many trials took, and what is said of them: median, mean, percentiles, greatest.

/// The times of some trials in milliseconds, the shortest first. A trial that came to no end took
/// an infinite time.
#[derive(Clone, Debug, PartialEq)]
pub struct Times(Vec<f64>);

/// What is said of the times of many trials, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Half of the trials took no longer.
    pub median: f64,
    /// Their sum, divided by their number.
    pub mean: f64,
    /// 99 of a hundred took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    /// The times of these trials, of which there is at least one.
    pub fn new(trials: impl Iterator<Item = f64>) -> Times {
        let mut times: Vec<f64> = trials.collect();
        times.sort_by(f64::total_cmp);
        assert!(!times.is_empty(), "nothing can be said of no trials");
        Times(times)
    }

    /// All of them, the shortest first.
    pub fn sorted(&self) -> &[f64] {
        &self.0
    }

    /// The shortest time in which so many of a hundred trials came to their end.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0[rank.max(1) - 1]
    }

    /// What is said of them.
    pub fn summary(&self) -> Summary {
        let mean = self.0.iter().sum::<f64>() / self.0.len() as f64;
        let (median, p99, max) = (self.percentile(50), self.percentile(99), self.percentile(100));
        Summary { median, mean, p99, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(trials: &[f64]) -> Times {
        Times::new(trials.iter().copied())
    }

    #[test]
    fn summary_of_a_hundred() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let expected = Summary { median: 50.0, mean: 50.5, p99: 99.0, max: 100.0 };
        assert_eq!(times(&hundred).summary(), expected);
    }

    #[test]
    fn summary_of_one_is_that_one_four_times() {
        let expected = Summary { median: 7.0, mean: 7.0, p99: 7.0, max: 7.0 };
        assert_eq!(times(&[7.0]).summary(), expected);
    }

    #[test]
    fn trial_without_an_end_is_longer_than_any_other() {
        let Summary { median, mean, max, .. } = times(&[f64::INFINITY, 3.0, 5.0]).summary();
        assert_eq!((median, mean, max), (5.0, f64::INFINITY, f64::INFINITY));
    }
}
