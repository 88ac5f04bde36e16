"""An image that a few tokens have written into, without ever making it.

A layer adds to every position a mixture of a few rows, and normalises: with the encoder's image X,
the image of a prompt after some layers is at every position

    x = s (X F + sum_i A_i v_i S_i) + b

where F, S_i and b are the network's, A_i are the weights (softmax) by which layer i wrote, v_i its
tokens' values, and s is a number per position, the inverse standard deviations that were divided
by. Means are subtracted by F and S_i, which are centred. So whatever is asked of x that is linear
is asked of X, once for all prompts, and of the few rows; only s needs more, the squared length

    |X F|^2 + sum_ij A_i v_i (2 S_i F^T X^T + S_i S_j^T v_j^T A_j)

whose first part is known of X, too. Nothing is approximated.

Prompts of one image go in small groups, which read its tables once. Rows of weights are ordered by
token, then by head: so the tokens of all prompts of a group are evenly spaced rows for each head,
and the rows of one prompt lie together; either is one product of matrices.

Symbols of shapes: g prompts of a group, n positions, c channels, h heads, d channels of a head,
t tokens, k = t h rows that one layer writes, r rows of all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.attention import Writing, by_head


@dataclass(frozen=True, eq=False)
class Written:
    """What the prompts of a group have made of an image so far, each for itself.

    Attributes
    ----------
    weights : Tensor, shape (g, r, n)
        A, divided by the `scale` of the image that it was added to.
    scale : Tensor of float32, shape (g, n)
        s.
    told : tuple of (int, Tensor of shape (g, h, t, d + 1))
        Which of the stage's sources, and v.
    """

    weights: torch.Tensor
    scale: torch.Tensor
    told: tuple[tuple[int, torch.Tensor], ...] = ()

    def rows(self, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return v S, (g, r, m), for sources (h, d + 1, m)."""
        return torch.cat([by_token(v @ sources[i]) for i, v in self.told], dim=1)

    def apart(self) -> Iterator[Written]:
        """Yield what each prompt has made of the image, as groups of one."""
        for i in range(len(self.scale)):
            one = slice(i, i + 1)
            told = tuple((source, v[one]) for source, v in self.told)
            yield Written(self.weights[one], self.scale[one], told)


@dataclass(frozen=True, eq=False)
class Stage:
    """How the image between two layers is made, in float64.

    Attributes
    ----------
    fold : Tensor, shape (c, c)
        F.
    bias : Tensor, shape (c,)
        b.
    sources : tuple of Tensor, shape (h, d + 1, c)
        S.
    is_written : bool
        Whether there is an s.
    """

    fold: torch.Tensor
    bias: torch.Tensor
    sources: tuple[torch.Tensor, ...]
    is_written: bool = True

    def written(self, writing: Writing) -> Stage:
        """Return the stage before the norm: with one source more, centred, no bias.

        The weights of every head add up to one, so each head adds its share of the biases.
        """
        share = (_double(writing.out.bias) + self.bias) / writing.heads
        rows = _double(writing.out.weight).T.reshape(writing.heads, -1, len(share))
        told = torch.cat([rows, share.expand(len(rows), 1, -1)], dim=1)
        sources = tuple(map(_centred, (*self.sources, told)))
        return Stage(_centred(self.fold), torch.zeros_like(self.bias), sources)

    def normed(self, norm: Any) -> Stage:  # noqa: ANN401
        """Return the stage after a layer norm."""
        weight = _double(norm.weight)
        sources = tuple(s * weight for s in self.sources)
        return Stage(self.fold * weight, _double(norm.bias), sources)


class Lens:
    """A linear map of the image at a stage, w x + bias.

    Parameters
    ----------
    weight, bias : Tensor, shape (m, c), (m,)
        The map.
    stage : Stage
        What is looked at.

    Attributes
    ----------
    still : Tensor of float64, shape (m,)
        What it sees in any image, not multiplied by s.
    sources : list of Tensor, shape (h, d + 1, m)
        What it sees of the stage's sources.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, stage: Stage) -> None:
        seen = _double(weight).T
        self._fold = (stage.fold @ seen).float().to(weight.device)
        self.still = stage.bias @ seen + _double(bias)
        self.sources = [(s @ seen).float().to(weight.device) for s in stage.sources]

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """Return what is seen of the encoder's image (n, c), shape (n, m)."""
        return image @ self._fold

    def lanes(self, image: torch.Tensor, heads: int) -> torch.Tensor:
        """Return what is seen by head, shape (h, d, n): position by position nobody asks."""
        return (self._fold.T @ image.T).view(heads, -1, len(image))


class Scores:
    """How positions compare with tokens: a projection by head, of the image and where it is.

    Parameters
    ----------
    projection : torch.nn.Linear
        The library's.
    heads : int
        Of the projection.
    stage : Stage
        The image.
    position : Tensor, shape (n, c)
        What is added to it.
    dtype : torch.dtype
        To compute with.
    """

    def __init__(
        self,
        projection: Any,  # noqa: ANN401
        heads: int,
        stage: Stage,
        position: torch.Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._heads, self._dtype = heads, dtype
        self._lens, where = Lens(projection.weight, projection.bias, stage), _double(position)
        still = self._lens.still + where @ _double(projection.weight).T
        still = still.float().to(position.device).T.contiguous()
        self._still = still.view(heads, -1, len(where))
        self._later = self._still.to(dtype) if stage.is_written else None

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """Return what is seen of the encoder's image (n, c), shape (h, d, n)."""
        seen = self._lens.lanes(image, self._heads)
        return (seen.add_(self._still) if self._later is None else seen).to(self._dtype)

    def __call__(self, table: torch.Tensor, asked: torch.Tensor, written: Written) -> torch.Tensor:
        """Return scores (g, k, n) of what is `asked` (g, h, t, d), by the `table` of the image."""
        few = asked.transpose(0, 1).flatten(1, 2).to(self._dtype)
        found = table.new_empty(len(asked), asked.shape[1] * asked.shape[2], table.shape[2])
        torch.bmm(few, table, out=lanes(found, self._heads))
        if written.told:
            rows = by_head(written.rows(self._lens.sources), self._heads)
            heard = by_token(asked @ rows.mT).to(self._dtype)
            found.baddbmm_(heard, written.weights)
        if self._later is not None:
            found.mul_(written.scale[:, None].to(found.dtype))
            lanes(found, self._heads).baddbmm_(few, self._later)
        return found


class Sums:
    """What tokens gather from positions: a projection by head, summed by weights."""

    def __init__(self, projection: Any, heads: int, stage: Stage, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._heads, self._dtype = heads, dtype
        self._lens = Lens(projection.weight, projection.bias, stage)
        self._is_written = stage.is_written
        still = self._lens.still.float().reshape(heads, 1, -1)
        self._still = still.to(projection.weight.device)

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """Return what is seen of the encoder's image (n, c), shape (h, d, n)."""
        return self._lens.lanes(image, self._heads).to(self._dtype)

    def __call__(
        self, table: torch.Tensor, weights: torch.Tensor, written: Written
    ) -> torch.Tensor:
        """Return sums (g, h, t, d), float32, by weights (g, k, n), which are lost."""
        if self._is_written:
            weights.mul_(written.scale[:, None].to(weights.dtype))
        found = torch.bmm(lanes(weights, self._heads), table.mT).float()
        found = found.reshape(self._heads, len(weights), -1, table.shape[1]).transpose(0, 1)
        if written.told:
            rows = by_head(written.rows(self._lens.sources), self._heads)
            heard = torch.bmm(weights, written.weights.mT).float()
            heard = heard.view(len(heard), -1, self._heads, heard.shape[2])
            found = found + heard.transpose(1, 2) @ rows
        return found + self._still


@dataclass(frozen=True, eq=False)
class Moments:
    """What is known of the encoder's image for the length of what is written into it.

    Attributes
    ----------
    square : Tensor of float32, shape (n,)
        Squared length of the image at a stage.
    mixed : tuple of Tensor, shape (h, d + 1, n)
        Its products with the sources of the stage.
    """

    square: torch.Tensor
    mixed: tuple[torch.Tensor, ...]


class Pen:
    """Adds what tokens tell to an image, and normalises it: the end of a layer."""

    def __init__(self, writing: Writing, norm: Any, stage: Stage, dtype: torch.dtype) -> None:  # noqa: ANN401
        before = stage.written(writing)
        self.stage, self._dtype = before.normed(norm), dtype
        self._heads, self._eps = writing.heads, float(norm.eps)
        self._is_written = stage.is_written
        device = norm.weight.device
        self._fold = before.fold.float().to(device)
        self._sources = [s.float().to(device) for s in before.sources]

    def of(self, image: torch.Tensor) -> Moments:
        """Return what is known of the encoder's image (n, c)."""
        folded = image @ self._fold
        mixed = (torch.matmul(s, folded.T).to(self._dtype) for s in self._sources)
        return Moments(folded.square().sum(1), tuple(mixed))

    def write(
        self, moments: Moments, scores: torch.Tensor, told: torch.Tensor, written: Written
    ) -> Written:
        """Return the image with what tokens tell (g, h, t, d + 1) by scores (g, k, n)."""
        by_tokens = scores.view(len(scores), -1, self._heads * scores.shape[2])
        weights = by_tokens.softmax(1).view(scores.shape)
        if self._is_written:
            weights /= written.scale[:, None].to(weights.dtype)
        if written.told:
            weights = torch.cat([written.weights, weights], dim=1)
        heard = (*written.told, (len(self._sources) - 1, told))
        both = Written(weights, written.scale, heard)
        return replace(both, scale=self._scale(moments, both))

    def _scale(self, moments: Moments, written: Written) -> torch.Tensor:
        """Return s after the norm."""
        rows = written.rows(self._sources)
        mixed = self._mixed(moments, written)
        mixed.baddbmm_((rows @ rows.mT).to(self._dtype), written.weights, beta=2)
        square = moments.square + mixed.mul_(written.weights).sum(1).float()
        squared = square.clamp(min=0) * written.scale**2 / rows.shape[2]
        return written.scale * torch.rsqrt(squared + self._eps)

    def _mixed(self, moments: Moments, written: Written) -> torch.Tensor:
        """Return the products (g, r, n) of rows with the encoder's image."""
        found = []
        for source, told in written.told:
            table, few = moments.mixed[source], told.transpose(0, 1).flatten(1, 2).to(self._dtype)
            part = table.new_empty(len(told), told.shape[1] * told.shape[2], table.shape[2])
            torch.bmm(few, table, out=lanes(part, len(few)))
            found.append(part)
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)


def first_stage(mask: torch.Tensor) -> Stage:
    """Return the stage of the encoder's image, to which a mask may be added by rows (r, c)."""
    rows = _double(mask)
    channels = rows.shape[1]
    return Stage(torch.eye(channels).double(), rows.new_zeros(channels), (rows[None],), False)


def lanes(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Return a view of rows (g, t h, n) by head, (h, g t, n)."""
    return x.view(-1, heads, x.shape[2]).transpose(0, 1)


def by_token(x: torch.Tensor) -> torch.Tensor:
    """Return what tokens say by head, (g, h, t, m), as rows (g, t h, m)."""
    return x.transpose(1, 2).flatten(1, 2)


def _centred(rows: torch.Tensor) -> torch.Tensor:
    """Return rows (..., c) without their means."""
    return rows - rows.mean(-1, keepdim=True)


def _double(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight in float64, on the CPU: some devices have no such numbers."""
    return weight.detach().cpu().double()
