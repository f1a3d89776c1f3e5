//! Tensors as safetensors holds them.

use std::borrow::Cow;

use safetensors::View;
use safetensors::tensor::Dtype;
use tch::{Device, Kind, Tensor};

const KINDS: [(Kind, Dtype); 7] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Half, Dtype::F16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Uint8, Dtype::U8),
];

/// # Panics
/// Kinds that nothing of ours has, as complex numbers.
pub(crate) fn dtype(tensor: &Tensor) -> Dtype {
    let kind = tensor.kind();
    let found = KINDS.into_iter().find(|(ours, _)| *ours == kind);
    found.expect("our tensors are floats, labels or bytes").1
}

/// None: libtorch has no such kind, or we have no use for it.
pub(crate) fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.into_iter().find(|(_, theirs)| *theirs == dtype).map(|(kind, _)| kind)
}

pub(crate) fn sizes(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|size| size.unsigned_abs() as usize).collect()
}

/// A tensor as safetensors writes it: its bytes come to the host when it is its turn.
pub(crate) struct Saved {
    tensor: Tensor,
    shape: Vec<usize>,
}

impl Saved {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self { shape: sizes(&tensor.size()), tensor }
    }
}

impl View for Saved {
    fn dtype(&self) -> Dtype {
        dtype(&self.tensor)
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Bit by bit, little-endian as the machines that libtorch runs on.
        let host = self.tensor.to_device(Device::Cpu).reshape(-1).view_dtype(Kind::Uint8);
        let mut bytes = vec![0; self.data_len()];
        let count = bytes.len();
        host.copy_data_u8(&mut bytes, count);
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}
