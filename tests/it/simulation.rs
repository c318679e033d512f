//! A few seeds of the simulation; `--bin simulate` plays many.

use harness::simulation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_seeds_of_everything_at_once_leave_the_books_in_order() {
    for seed in 1..=3 {
        let outcome = simulation::run(seed, 40).await;
        assert!(outcome.violations.is_empty(), "{outcome}");
        assert!(outcome.jobs > 0 && outcome.effects > 0, "{outcome}");
    }
}
