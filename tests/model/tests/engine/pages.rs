//! What the pages of the repository say about engines is what the tables say.

use ioat_model::Defect;
use ioat_regs::device::DEVICES;

const README: &str = include_str!("../../../../README.md");
const EVIDENCE: &str = include_str!("../../../../docs/evidence.md");

#[test]
fn the_readme_names_every_platform_with_its_hardware_version() {
    let rows: Vec<Vec<&str>> = README
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| line.split(" | ").collect())
        .collect();
    for platform in DEVICES.iter().map(|row| row.platform) {
        let version = platform.version.to_string();
        let named =
            rows.iter().any(|row| row[0].split("; ").any(|name| name == platform.name) && row[1] == version);
        assert!(named, "README.md: no row names {} with hardware {version}", platform.name);
    }
}

#[test]
fn every_seeded_mistake_stands_with_its_test_in_the_evidence() {
    for defect in Defect::ALL {
        let row = format!("| {} | `{}` |", defect.what(), defect.caught_by());
        assert!(EVIDENCE.contains(&row), "docs/evidence.md lacks {row}: `cargo xtask vm --all` writes it");
    }
}
