//! Compiles netdma-core with pages of four descriptors.

fn main() {
    println!("cargo:rustc-cfg=small_pages");
    println!("cargo:rerun-if-changed=build.rs");
}
