pub struct SweepSpec; 
#[derive(Debug, thiserror::Error)]
pub enum SpecError {}
