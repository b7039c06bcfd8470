"""A person is handed all that is kept of them, and nothing of anybody else."""

import json
import re

import pytest

from segmentation import erase, personal_export
from tests.segmentation import erasable
from tests.segmentation.erasable import NOW, OTHERS
from tests.segmentation.test_erase import AWKWARD, WHO


@pytest.mark.parametrize("who", [WHO, AWKWARD])
def test_all_that_is_kept_and_nothing_of_others(stores, tmp_path, who):
    erasable.fill(stores, who, tmp_path / "logs")
    told = personal_export.export_customer(who, NOW, stores)
    text = (tmp_path / "lake" / told["path"]).read_text()
    assert "zq" not in told["path"]
    assert not re.search(r"other\d", text)
    found = json.loads(text)
    assert (found["customer_id"], found["made_at"]) == (who, "2026-01-31T05:00:00+00:00")
    assert {row["order_id"] for row in found["shop"]["orders"]} == {"theirs-1", "moved-1"}
    assert [row["returned_quantity"] for row in found["shop"]["order_items"]] == [0, 1]
    assert len(found["shop"]["events"]) == 3
    assert found["shop"]["orders"][0]["total_amount"] == "10.00"
    assert found["derived"]["feat/customer_daily/as_of=2026-01-31"][0]["customer_id"] == who
    assert len(found["published"]["marketing_internal.segment_rows"]) == 2
    assert [row["change"] for row in found["published"]["marketing_internal.change_rows"]] == ["entered"]
    assert len(found["refused"]["quarantine.rows"]) == 4
    assert told["rows"]["events"] == 3


def test_the_file_goes_when_the_person_is_erased_and_then_there_is_nobody(stores, tmp_path):
    erasable.fill(stores, WHO, tmp_path / "logs")
    path = personal_export.export_customer(WHO, NOW, stores)["path"]
    assert erase.erase_customers([WHO], stores)["removed"]["exports"] > 0
    assert not (tmp_path / "lake" / path).exists()
    with pytest.raises(personal_export.NobodyError, match="nothing is kept"):
        personal_export.export_customer(WHO, NOW, stores)
    assert personal_export.export_customer(OTHERS[0], NOW, stores)["rows"]["orders"] == 2
