"""PLCC and RMSE after a logistic with 4 or 5 parameters is fitted to the MOS."""

import itertools

import numpy as np
from scipy import optimize, special

from vqa_lib.metrics.correlations import correlation, resample, why_undefined
from vqa_lib.metrics.intervals import Metric, checked, interval, quietly, undefined


def logistic_4(x, b1, b2, b3, b4):
    """b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)). **Source**: as `plcc_4pl`.

    Example:
        >>> float(logistic_4(2.0, 5.0, 1.0, 2.0, 0.5))
        3.0
    """
    return b2 + (b1 - b2) * special.expit((x - b3) / np.abs(b4))


def logistic_5(x, b1, b2, b3, b4, b5):
    """b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5. **Source**: as `plcc_5pl`.

    Example:
        >>> float(logistic_5(2.0, 4.0, 1.0, 2.0, 0.5, 1.0))
        2.0
    """
    return b1 * (special.expit(b2 * (x - b3)) - 0.5) + b4 * x + b5


def _fit_4(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    start = [y.max(), y.min(), x.mean(), x.std()]
    return logistic_4(x, *optimize.curve_fit(logistic_4, x, y, p0=start, maxfev=20_000)[0])


def _fit_5(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The fitted curve, by variable projection: but for steepness and centre, the parameters are a linear problem.

    All five at once is so ill-conditioned that the order of the rows would decide whether a fit is found.
    """
    x = (x - x.mean()) / x.std()

    def curve(steepness: float, centre: float) -> np.ndarray:
        columns = np.stack([logistic_5(x, 1, steepness, centre, 0, 0), x, np.ones_like(x)], axis=1)
        return columns @ np.linalg.lstsq(columns, y, rcond=None)[0]

    starts = itertools.product(np.geomspace(0.5, 32, 7), np.linspace(-2, 2, 9))
    best = min(starts, key=lambda start: np.sum((curve(*start) - y) ** 2))
    bounds = ([0.1, x.min()], [100, x.max()])
    fitted = optimize.least_squares(lambda shape: curve(*shape) - y, np.clip(best, *bounds), bounds=bounds)
    return curve(*fitted.x)


FITS = {4: _fit_4, 5: _fit_5}  # number of parameters -> the fitted curve at every x


def mapped(predictions: np.ndarray, mos: np.ndarray, parameters: int) -> tuple[np.ndarray, str | None]:
    """Predictions put on the MOS scale by the fitted logistic, and why that failed."""
    if reason := why_undefined(predictions, mos, least=parameters + 1):
        return predictions, reason
    try:
        values = quietly(FITS[parameters], predictions, mos)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:  # no convergence; values that are not finite
        return predictions, f"the {parameters}-parameter logistic could not be fitted: {error}"
    if not np.isfinite(values).all():
        return predictions, f"the {parameters}-parameter logistic could not be fitted: its parameters are not finite"
    return values, None


def _plcc(predictions, mos, seed: int, resamples: int, parameters: int) -> Metric:
    y, x = checked(mos, predictions)
    values, reason = mapped(x, y, parameters)
    if reason is None and np.ptp(values) < 1e-9 * np.ptp(y):
        reason = f"the fitted {parameters}-parameter logistic is flat"
    if reason:
        return undefined(len(x), reason)
    return correlation("plcc", values, y, seed, resamples)


def _rmse(predictions, mos, seed: int, resamples: int, parameters: int) -> Metric:
    y, x = checked(mos, predictions)
    values, reason = mapped(x, y, parameters)
    if reason:
        return undefined(len(x), reason)
    value = float(np.sqrt(((values - y) ** 2).mean()))
    return Metric(value, *interval(resample("rmse", values, y, seed, resamples)), len(x))


def plcc_4pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Pearson's correlation after the 4-parameter logistic is fitted to the MOS. In [-1, 1], higher is better.

    **Source**: SimpleVQA and MinimalisticVQA, official code: start at [max y, min y, mean x, 0.5]; ours: the standard
    deviation of x for the 0.5, which suits one scale only.

    y = b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|))

    The logistic is fitted once, on all rows; the interval is over the mapped predictions, so it leaves out how much the
    fit itself varies. Undefined for n < 5, constant input, a fit that fails or is flat. Raises as `srcc`.

    Example:
        >>> round(plcc_4pl([-2, -1, 0, 1, 2], [0.12, 0.27, 0.5, 0.73, 0.88]).value, 3)
        1.0
    """
    return _plcc(predictions, mos, seed, resamples, 4)


def rmse_4pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Root mean squared error after the logistic of `plcc_4pl`. In MOS units, >= 0, lower is better.

    **Source**, interval and undefined cases as `plcc_4pl`. Raises as `srcc`.

    Example:
        >>> rmse_4pl([-2, -1, 0, 1, 2], [0.12, 0.27, 0.5, 0.73, 0.88]).value < 0.01
        True
    """
    return _rmse(predictions, mos, seed, resamples, 4)


def plcc_5pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Pearson's correlation after the 5-parameter logistic is fitted to the MOS. In [-1, 1], higher is better.

    **Source**: Sheikh, Sabir and Bovik 2006, as VQEG recommends; ours: b2 times the standard
    deviation of x is kept between 0.1 and 100, and b3 within the predictions: a nearly straight curve has no best fit.

    y = b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5

    Its linear term can turn the curve round at the ends, which the 4-parameter logistic cannot. Interval and undefined
    cases as `plcc_4pl`, but from n = 6. Raises as `srcc`.

    Example:
        >>> round(plcc_5pl([-2, -1, 0, 1, 2, 3], [0.12, 0.27, 0.5, 0.73, 0.88, 0.95]).value, 3)
        1.0
    """
    return _plcc(predictions, mos, seed, resamples, 5)


def rmse_5pl(predictions, mos, seed: int = 0, resamples: int = 1000) -> Metric:
    """Root mean squared error after the logistic of `plcc_5pl`. In MOS units, >= 0, lower is better.

    **Source**, interval and undefined cases as `plcc_5pl`. Raises as `srcc`.

    Example:
        >>> rmse_5pl([-2, -1, 0, 1, 2, 3], [0.12, 0.27, 0.5, 0.73, 0.88, 0.95]).value < 0.01
        True
    """
    return _rmse(predictions, mos, seed, resamples, 5)
