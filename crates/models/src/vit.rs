//! The vision transformer of Dosovitskiy et al. (2010.11929), with the options of Zhai et al.
//! (2106.04560). Pre-norm; initialised as big_vision does; named and laid out as timm's.

use spec::{Pool, Positions, VitSpec};
use tch::{Device, Kind, Tensor};

use crate::init::Init;
use crate::layers::{Linear, Norm, attention, embed, gelu, layer_norm, linear};
use crate::parameters::{BindError, Binder, Parameter};

#[derive(Debug)]
pub struct Vit {
    patch: i64,
    heads: i64,
    /// Weight `[width, 3, patch, patch]`, as a strided convolution's.
    embedding: Linear,
    class_token: Option<Tensor>,
    /// `[1, tokens, width]`.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    pool: Pool,
}

#[derive(Debug)]
struct Block {
    norm1: Norm,
    qkv: Linear,
    projection: Linear,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

impl Vit {
    /// 2010.11929, equations 1 to 4; the pooled mean of 2106.04560 in place of the class token.
    pub(crate) fn forward(&self, images: &Tensor) -> Tensor {
        let patches = embed(images, &self.embedding, self.patch);
        let tokens = match &self.class_token {
            Some(token) => {
                Tensor::cat(&[token.expand([images.size()[0], -1, -1], false), patches], 1)
            }
            None => patches,
        };
        let mut x = tokens + &self.positions;
        for block in &self.blocks {
            x = block.forward(x, self.heads);
        }
        let x = layer_norm(&x, &self.norm);
        let pooled = match self.pool {
            Pool::Gap => x.mean_dim(1, false, None::<Kind>),
            Pool::Token => x.select(1, 0),
        };
        linear(&pooled, &self.head)
    }

    pub(crate) fn bind(spec: &VitSpec, parameters: &[Parameter]) -> Result<Self, BindError> {
        let mut binder = Binder::new(parameters);
        let mut tensors = layout(spec).into_iter();
        let mut take = || {
            let blank = tensors.next().expect("the layout lists what bind takes, in this order");
            binder.take(&blank.name, &blank.shape)
        };
        let class_token = matches!(spec.pool, Pool::Token).then(&mut take).transpose()?;
        let learned = matches!(spec.positions, Positions::Learned).then(&mut take).transpose()?;
        let mut pair = || Ok::<_, BindError>((take()?, take()?));
        let embedding = linear_of(pair()?);
        let blocks: Vec<_> = (0..spec.shape.shape.depth)
            .map(|_| Block::bind(&mut pair))
            .collect::<Result<_, _>>()?;
        let (norm, head) = (norm_of(pair()?), linear_of(pair()?));
        binder.finish()?;
        let options = (head.weight.kind(), head.weight.device());
        let positions = learned.unwrap_or_else(|| sincos2d(spec, options));
        let (patch, heads) = (i64::from(spec.patch), i64::from(spec.shape.shape.heads));
        Ok(Self {
            patch,
            heads,
            embedding,
            class_token,
            positions,
            blocks,
            norm,
            head,
            pool: spec.pool,
        })
    }
}

impl Block {
    fn forward(&self, x: Tensor, heads: i64) -> Tensor {
        let attended = attention(&linear(&layer_norm(&x, &self.norm1), &self.qkv), heads);
        let x = x + linear(&attended, &self.projection);
        let hidden = gelu(&linear(&layer_norm(&x, &self.norm2), &self.fc1));
        x + linear(&hidden, &self.fc2)
    }

    fn bind(
        pair: &mut impl FnMut() -> Result<(Tensor, Tensor), BindError>,
    ) -> Result<Self, BindError> {
        Ok(Self {
            norm1: norm_of(pair()?),
            qkv: linear_of(pair()?),
            projection: linear_of(pair()?),
            norm2: norm_of(pair()?),
            fc1: linear_of(pair()?),
            fc2: linear_of(pair()?),
        })
    }
}

fn norm_of((weight, bias): (Tensor, Tensor)) -> Norm {
    Norm { weight, bias }
}

fn linear_of((weight, bias): (Tensor, Tensor)) -> Linear {
    Linear { weight, bias }
}

/// A parameter before it has values.
struct Blank {
    name: String,
    shape: Vec<i64>,
    init: Init,
}

/// Every parameter, in the order of timm's state dict, with big_vision's initialisation.
fn layout(spec: &VitSpec) -> Vec<Blank> {
    let shape = spec.shape.shape;
    let (d, m) = (i64::from(shape.width), i64::from(shape.mlp));
    let (p, k) = (i64::from(spec.patch), i64::from(spec.classes));
    let tokens = i64::try_from(spec.tokens()).expect("tokens are at most pixels");
    let (zero, one) = (Init::Constant(0.0), Init::Constant(1.0));
    let tiny = Init::Normal { std: 1e-6 };
    // Queries, keys and values are three D x D projections in one matrix: the fans are of one.
    let square = Init::XavierUniform { fan_in: d, fan_out: d };
    let (up, down) = (
        Init::XavierUniform { fan_in: d, fan_out: m },
        Init::XavierUniform { fan_in: m, fan_out: d },
    );

    let mut blanks = Vec::new();
    let mut add = |name: &str, shape: &[i64], init| {
        blanks.push(Blank { name: name.to_owned(), shape: shape.to_vec(), init });
    };
    if spec.pool == Pool::Token {
        add("cls_token", &[1, 1, d], zero);
    }
    if spec.positions == Positions::Learned {
        add("pos_embed", &[1, tokens, d], Init::Normal { std: 1.0 / (d as f64).sqrt() });
    }
    add("patch_embed.proj.weight", &[d, 3, p, p], Init::LecunNormal { fan_in: 3 * p * p });
    add("patch_embed.proj.bias", &[d], zero);
    for block in 0..shape.depth {
        let mut pair = |name: &str, shape: &[i64], weight, bias| {
            add(&format!("blocks.{block}.{name}.weight"), shape, weight);
            add(&format!("blocks.{block}.{name}.bias"), &shape[..1], bias);
        };
        pair("norm1", &[d], one, zero);
        pair("attn.qkv", &[3 * d, d], square, zero);
        pair("attn.proj", &[d, d], square, zero);
        pair("norm2", &[d], one, zero);
        pair("mlp.fc1", &[m, d], up, tiny);
        pair("mlp.fc2", &[d, m], down, tiny);
    }
    add("norm.weight", &[d], one);
    add("norm.bias", &[d], zero);
    add("head.weight", &[k, d], zero);
    add("head.bias", &[k], zero);
    blanks
}

pub(crate) fn initial(spec: &VitSpec, seed: u64) -> Vec<Parameter> {
    let fill = |blank: Blank| Parameter {
        tensor: blank.init.tensor(seed, &blank.name, &blank.shape),
        name: blank.name,
    };
    layout(spec).into_iter().map(fill).collect()
}

/// big_vision's `posemb_sincos_2d`: `[sin(x w), cos(x w), sin(y w), cos(y w)]` with x the column, y
/// the row and `w_j = 10000^(-j / (D/4 - 1))`. The class token, if any, has position zero.
fn sincos2d(spec: &VitSpec, (kind, device): (Kind, Device)) -> Tensor {
    let side = i64::from(spec.resolution / spec.patch);
    let quarter = i64::from(spec.shape.shape.width / 4);
    let options = (Kind::Double, Device::Cpu);
    let exponent = Tensor::arange(quarter, options) / (quarter - 1) as f64;
    let omega = (exponent * -(10_000f64.ln())).exp();
    let coordinate = Tensor::arange(side, options);
    let x = coordinate.unsqueeze(0).expand([side, side], false).reshape([-1, 1]) * &omega;
    let y = coordinate.unsqueeze(1).expand([side, side], false).reshape([-1, 1]) * &omega;
    let patches = Tensor::cat(&[x.sin(), x.cos(), y.sin(), y.cos()], 1);
    let rows = match spec.pool {
        Pool::Gap => patches,
        Pool::Token => Tensor::cat(&[Tensor::zeros([1, 4 * quarter], options), patches], 0),
    };
    rows.unsqueeze(0).to_kind(kind).to_device(device)
}
