"""What is wrong with a picture: texts that leave it or cover each other."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg


def texts_of(figure):
    """The texts that are drawn: titles, labels, legends, and the labels of the ticks in view."""
    found = [text for text in (figure._suptitle, figure._supxlabel, figure._supylabel) if text]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        found += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            found += [axis.label, axis.offsetText]
            found += [label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)]
        if legend := axes.get_legend():
            found += [*legend.get_texts(), legend.get_title()]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def problems(figure, width):
    """Texts outside the figure, and pairs that cover each other."""
    figure.set_size_inches(width, figure.get_size_inches()[1])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = {text: text.get_window_extent(renderer) for text in texts_of(figure)}
    page = figure.bbox
    outside = [
        text.get_text()
        for text, box in boxes.items()
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1
    ]
    covered = [
        (one.get_text(), other.get_text())
        for (one, a), (other, b) in combinations(boxes.items(), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    return outside, covered
