"""How pictures look: light and dark on the page, and on paper. Plotly's templates, as plain dictionaries.

Lines have the colours of Okabe and Ito (2008), which colour-blind readers tell apart, lighter ones on dark ground; heat
is viridis or cividis.
"""

from __future__ import annotations

from typing import Any

SANS = (
    '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, '
    "sans-serif"
)
"""The page's sans-serif faces; what a machine has of them."""

LINES = {
    "light": ["#0072B2", "#D55E00", "#007A5A", "#B4568F", "#8A6D00", "#2B95CC", "#454B54", "#E69F00"],
    "dark": ["#56B4E9", "#E69F00", "#2BC79A", "#E08FBE", "#F0E442", "#6F9CEB", "#C9CFD6", "#F07F3C"],
}

SCALES = {
    "light": {
        "diverging": [[0, "#B35900"], [0.25, "#EDB073"], [0.5, "#F5F5F2"], [0.75, "#7FB2D9"], [1, "#00568F"]],
        "sequential": "Viridis", "loss": [[0, "#FDE737"], [0.5, "#7C7B78"], [1, "#00224E"]],
    },
    "dark": {
        "diverging": [[0, "#F0A04B"], [0.25, "#96602A"], [0.5, "#2A2E33"], [0.75, "#2F6D9C"], [1, "#6CBDF5"]],
        "sequential": "Viridis", "loss": [[0, "#FDE737"], [0.5, "#7C7B78"], [1, "#00224E"]],
    },
}  # fmt: skip
"""`diverging` about zero; `sequential` the more the better; `loss` the less the better."""

INKS = {
    "light": {"ink": "#1F2328", "muted": "#59636E", "grid": "#E4E7EB", "line": "#AEB5BD", "ground": "#FFFFFF"},
    "dark": {"ink": "#E6E9ED", "muted": "#9DA7B3", "grid": "#2C3238", "line": "#56606B", "ground": "#15181C"},
}

MUTED, GROUND, FIRST = "muted", "ground", "first"
"""Words that stand for a theme's colours in a figure."""


def themes() -> dict[str, dict[str, Any]]:
    """For each of `light` and `dark` a template, scales by name, and the colours that figures name."""
    return {
        name: {"template": _template(name, 13), "scales": SCALES[name], "colours": INKS[name] | {FIRST: LINES[name][0]}}
        for name in ("light", "dark")
    }


def paper() -> dict[str, Any]:
    """The theme of pictures for papers: light, on white, with letters that stay readable at a column's width."""
    template = _template("light", 15)
    template["layout"] |= {"paper_bgcolor": "#FFFFFF", "plot_bgcolor": "#FFFFFF"}
    return {"template": template, "scales": SCALES["light"], "colours": INKS["light"] | {FIRST: LINES["light"][0]}}


def themed(figure: dict[str, Any], theme: dict[str, Any]) -> dict[str, Any]:
    """A figure in a theme: its template, and its named scales and colours replaced."""
    put = _put(figure, theme)
    put["layout"]["template"] = theme["template"]
    return put  # type: ignore[no-any-return]


def _put(part: Any, theme: dict[str, Any]) -> Any:
    """As the page's script does it."""
    if isinstance(part, dict):
        found = {}
        for key, value in part.items():
            if key == "colorscale" and isinstance(value, str):
                found[key] = theme["scales"].get(value, value)
            elif key == "color" and isinstance(value, str):
                found[key] = theme["colours"].get(value, value)
            else:
                found[key] = _put(value, theme)
        return found
    return [_put(one, theme) for one in part] if isinstance(part, list) and part and isinstance(part[0], dict) else part


def _template(name: str, size: int) -> dict[str, Any]:
    inks = INKS[name]
    axis = {
        "gridcolor": inks["grid"], "linecolor": inks["line"], "zerolinecolor": inks["line"], "zerolinewidth": 1,
        "tickcolor": inks["line"], "ticks": "", "automargin": True, "title": {"standoff": 12, "font": {"size": size}},
        "tickfont": {"size": size - 1}, "showline": False, "ticklabelstandoff": 5,
    }  # fmt: skip
    bar = {"outlinewidth": 0, "thickness": 12, "ticks": "", "tickfont": {"size": size - 1}, "title": {"side": "right"}}
    return {
        "layout": {
            "font": {"family": SANS, "size": size, "color": inks["ink"]}, "colorway": LINES[name],
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "xaxis": axis, "yaxis": axis,
            "hoverlabel": {"bgcolor": inks["ink"], "bordercolor": inks["ink"],
                           "font": {"family": SANS, "size": 13, "color": inks["ground"]}, "align": "left"},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": size}},
            "coloraxis": {"colorbar": bar}, "shapedefaults": {"line": {"color": inks["line"]}},
            "annotationdefaults": {"font": {"color": inks["muted"], "size": size - 1}, "showarrow": False},
            "margin": {"l": 8, "r": 8, "t": 16, "b": 8}, "hovermode": "closest", "dragmode": False,
        },
        "data": {"icicle": [{"marker": {"line": {"color": inks["ground"], "width": 1}}}]},
    }  # fmt: skip
