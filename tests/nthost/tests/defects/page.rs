use crate::cases::Case;
use nthost::Stop;
pub fn page(_caught: &[(&Case, Box<Stop>)]) -> String {
    String::new()
}
