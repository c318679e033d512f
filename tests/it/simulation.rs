//! A few seeds of the simulation; `--bin simulate` plays many.

use std::time::Duration;

use harness::simulation::{self, Total};

/// Seeds, and how many jobs each plays: two whose traffic is days apart, and one of each other
/// pace.
const SEEDS: [(u64, usize); 4] = [(12, 30), (13, 30), (8, 20), (11, 40)];
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_everything_at_once_leaves_the_books_in_order() {
    let mut total = Total::default();
    for (seed, jobs) in SEEDS {
        let outcome = simulation::run(seed, jobs).await;
        assert!(outcome.violations.is_empty(), "{outcome}");
        total.add(&outcome);
    }
    let sum = &total.sum;
    assert!(sum.lasted >= YEAR, "{total}");
    assert!(sum.jobs > 0 && sum.spoilt > 0 && sum.weathers > 0 && sum.ended["succeeded"] > 0, "{total}");
    assert!(sum.purchases > 0, "{total}");
}
