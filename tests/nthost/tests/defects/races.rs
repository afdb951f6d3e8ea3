/// a
pub const RACES: [&str; 0] = [];
