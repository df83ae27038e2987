"""What one model costs and gives instead of another, in sentences."""

from headstart.compare.advice_records import TradeOff
from headstart.report.numbers import points
from headstart.report.words import shown_name

# Latencies closer than this are the same for a reader.
_SAME = 1.1


def trade_off_sentence(offer: TradeOff) -> str:
    """Return the trade: "B instead of A costs 0.3 points (−0.4 to 1.0) and is 4.0 times as fast."."""
    text = (
        f"{shown_name(offer.model)} instead of {shown_name(offer.instead_of)} {_accuracy(offer)} and "
        f"{_speed(offer.speed_ratio)}{_size(offer.size_ratio)}."
    )
    if offer.difference.low <= 0 <= offer.difference.high:
        text += " In accuracy these pictures cannot tell the two apart."
    return text


def _accuracy(offer: TradeOff) -> str:
    difference = offer.difference
    if round(difference.value, 3) < 0:
        value, low, high = -difference.value, -difference.high, -difference.low
        verb = "gains"
    else:
        value, low, high = difference.value, difference.low, difference.high
        verb = "costs"
    return f"{verb} {points(value)} points ({points(low)} to {points(high)})"


def _speed(ratio: float) -> str:
    if ratio >= _SAME:
        return f"is {_times(ratio)} times as fast"
    if ratio <= 1 / _SAME:
        return f"takes {_times(1 / ratio)} times as long"
    return "is as fast"


def _size(ratio: float) -> str:
    if 1 / _SAME < ratio < _SAME:
        return ""
    if ratio > 1:
        return (
            f", with {100 / ratio:.0f} % of the parameters"
            if ratio < 100
            else ", with less than 1 % of the parameters"
        )
    return f", with {_times(1 / ratio)} times the parameters"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"
