"""A third kind of data, in one folder: rows of a table.

Its data set, model, space, judge and view are here; nothing elsewhere knows of it.
"""

from fedsim.core.measures import Measure
from fedsim.core.modality import MODALITIES, Modality
from tests.fedsim.modalities.tables import data, model

TABLES = MODALITIES.add(
    Modality(
        name="tables",
        measure=Measure(
            key="cells_right",
            name="cells",
            unit="%",
            axis="cells right, %",
            column="percent",
            second="mean_error",
            recovered=100.0,
            recovered_name="all cells",
            thing="row",
            told_of=" of the cells",
            caption="cells: share of a row's cells that are right, in %",
            leaked="rows of which most cells are right",
            statistic="share of the cells that are right, in %, median",
        ),
        space="tests.fedsim.modalities.tables.space:TableSpace",
        judge="tests.fedsim.modalities.tables.judge:TableJudge",
        artefacts="tests.fedsim.modalities.tables.view:TableArtefacts",
        view="tests.fedsim.modalities.tables.view:TableView",
    )
)

__all__ = ["TABLES", "data", "model"]
