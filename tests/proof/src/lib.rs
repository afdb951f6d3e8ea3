//! Says at run time which requirement of the specifications a test has just proven.
