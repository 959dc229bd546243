#!/usr/bin/env bash
# GDAL 3.10.3 (rasterio 1.4.4, which reads it as rioxarray and GDAL's own -unscale do): the offset of Sentinel-2 products
# since baseline 04.00 becomes a text beside the band and never its scale and offset.
#
# Expected: the SENTINEL2 driver reads BOA_QUANTIFICATION_VALUE and BOA_ADD_OFFSET of a product, so a band of 0.1
# reflectance, stored as 2000, is 0.1 by the scale and offset of the band: GDAL's own way to say so.
# Seen: scale 1, offset 0, and texts BOA_ADD_OFFSET=-1000 of the band, BOA_QUANTIFICATION_VALUE=10000 of the dataset. A
# translation to GeoTIFF keeps the texts; unscaled by its scale and offset it is 2000, and by the 10,000 that everyone
# knows 0.2: dark water and forest come out twice to ten times as bright.
# Hurt: who trains on scenes from before and after January 2022, or compares them.
# Source: Sentinel-2 Products Specification Document; GDAL's SENTINEL2 driver.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - << 'PYTHON'
import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin

NAME = "S2B_MSIL2A_20230823T095559_N0509_R122_T34UCF_20230823T124759.SAFE"
GRANULE = "GRANULE/L2A_T34UCF_A033753_20230823T095553"
BANDS = {"B02": ("B2", 1), "B03": ("B3", 2), "B04": ("B4", 3), "B08": ("B8", 7)}
product = Path(NAME)
folder = product / GRANULE / "IMG_DATA/R10m"
folder.mkdir(parents=True)
files, spectra = [], []
for band, (physical, number) in BANDS.items():
    name = f"T34UCF_20230823T095559_{band}_10m"
    files.append(f"<IMAGE_FILE>{GRANULE}/IMG_DATA/R10m/{name}</IMAGE_FILE>")
    spectra.append(
        f'<Spectral_Information bandId="{number}" physicalBand="{physical}"><RESOLUTION>10</RESOLUTION>'
        '<Wavelength><MIN unit="nm">400</MIN><MAX unit="nm">500</MAX><CENTRAL unit="nm">450</CENTRAL></Wavelength>'
        "</Spectral_Information>"
    )
    grid = {"crs": "EPSG:32634", "transform": from_origin(300000, 6000000, 10, 10), "width": 128, "height": 128}
    with rasterio.open(
        folder / f"{name}.jp2", "w", driver="JP2OpenJPEG", count=1, dtype="uint16", REVERSIBLE="YES", QUALITY="100", **grid
    ) as dataset:
        dataset.write(np.full((1, 128, 128), 2000, np.uint16))
offsets = "".join(f'<BOA_ADD_OFFSET band_id="{number}">-1000</BOA_ADD_OFFSET>' for number in range(13))
(product / "MTD_MSIL2A.xml").write_text(
    f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"><n1:General_Info>
<Product_Info><PRODUCT_URI>{NAME}</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE><PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>
<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
<Product_Organisation><Granule_List><Granule datastripIdentifier="S2B_OPER_MSI_L2A_DS" imageFormat="JPEG2000"
granuleIdentifier="S2B_OPER_MSI_L2A_TL_2BPS_20230823T124759_A033753_T34UCF_N05.09">{"".join(files)}</Granule>
</Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>
<Spectral_Information_List>{"".join(spectra)}</Spectral_Information_List></Product_Image_Characteristics>
</n1:General_Info></n1:Level-2A_User_Product>""",
    encoding="utf-8",
)
(product / GRANULE / "MTD_TL.xml").write_text(
    """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_NAME>WGS84 / UTM zone 34N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:32634</HORIZONTAL_CS_CODE><Size resolution="10"><NROWS>128</NROWS><NCOLS>128</NCOLS></Size>
<Geoposition resolution="10"><ULX>300000</ULX><ULY>6000000</ULY><XDIM>10</XDIM><YDIM>-10</YDIM></Geoposition>
</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>""",
    encoding="utf-8",
)
with rasterio.open(product / "MTD_MSIL2A.xml") as dataset:
    ten_metres = dataset.subdatasets[0]
with rasterio.open(ten_metres) as dataset:
    copy(dataset, "scene.tif", driver="GTiff")
with rasterio.open("scene.tif") as dataset:
    stored = int(dataset.read(1)[0, 0])
    scale, offset = dataset.scales[0], dataset.offsets[0]
    texts = dataset.tags()["BOA_QUANTIFICATION_VALUE"], dataset.tags(1)["BOA_ADD_OFFSET"]
    band = dataset.descriptions[0]

print(f"versions: GDAL {rasterio.__gdal_version__} by rasterio {rasterio.__version__}")
print("expected: 0.1, as the product states: (2000 - 1000) / 10000, by the band's scale and offset")
print(f"seen:     {band}: stored {stored}, scale {scale:g}, offset {offset:g}, so {stored * scale + offset:g}")
print(f"          and beside it the texts quantification {texts[0]}, offset {texts[1]}")
print("hurt:     whoever unscales such a file, or divides by 10,000 alone")
if (stored, scale, offset, texts) != (2000, 1.0, 0.0, ("10000", "-1000")):
    sys.exit("this has changed: look at it again")
PYTHON
