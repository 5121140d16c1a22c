//! Settings, profiles and what follows from them.

use super::*;

#[test]
fn ranges_are_checked() {
    assert_eq!(Pacing::new(0.0, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(f64::NAN, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(60_001.0, 1), Err(PacingProblem::Rate));
    assert_eq!(Pacing::new(60.0, 0), Err(PacingProblem::Burst));
    assert_eq!(Pacing::new(60.0, 65), Err(PacingProblem::Burst));
    assert_eq!(Pacing::new(60.0, 1).map(|p| p.interval()), Ok(Duration::from_secs(1)));
}
