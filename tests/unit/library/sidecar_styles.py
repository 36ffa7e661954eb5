"""Sidecars as other programs write them."""

import pytest

from dbd_ray.library.sidecars import FocusFields

FIELDS = FocusFields("partial", 0.42135, (120, 40, 860, 700), 0.91, 12.345678, "dbd-s@<12>&é")
OTHERS = FocusFields("none_in_focus", 0.0, None, 0.5, None, "dbd-m@34")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC, XMP = 'xmlns:dc="http://purl.org/dc/elements/1.1/"', 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000        ">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {XMP}
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    {DC}
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="4"
   xmp:MetadataDate="2024-05-01T10:00:00+02:00"
   photoshop:SidecarForExtension="NEF"
   crs:Version="15.4"
   crs:Exposure2012="+0.35"
   crs:RawFileName="a &gt; b's &quot;best&quot;.NEF">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Berlin</rdf:li>
     <rdf:li>Familie &amp; Freunde</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Orte|Berlin</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {XMP}
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
    xmlns:darktable="http://darktable.sf.net/"
   xmp:Rating="1"
   xmpMM:DerivedFrom="DSC_0030.NEF"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1"
   darktable:history_end="2">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="rawprepare"
      darktable:params="gz02eJyNyrEOwiAURmEe5Y6alHZ3E5zZHaH8kRvg1lAqiU9vH8GzfkfRHynb4Dt/"/>
     <rdf:li
      darktable:num="1"
      darktable:operation="flip"
      darktable:multi_name=" "
      darktable:params="ffffffff"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
    {DC}
   digiKam:ColorLabel="0"
   digiKam:PickLabel="0"
   MicrosoftPhoto:Rating="0">
   <xmpMM:DerivedFrom stRef:documentID="A1" stRef:originalDocumentID="B2"/>
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Orte/Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>Orte/Köln</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Orte|Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <exif:UserComment>
    <rdf:Alt>
     <rdf:li xml:lang="x-default"><![CDATA[a <b> & ]] > c]]></rdf:li>
    </rdf:Alt>
   </exif:UserComment>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""

EXIFTOOL = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF {RDF.replace('"', "'")}>

 <rdf:Description rdf:about='uuid:7'
  xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:subject>
   <rdf:Bag>
    <rdf:li>sea</rdf:li>
   </rdf:Bag>
  </dc:subject>
 </rdf:Description>

 <rdf:Description rdf:about='uuid:7'
  xmlns:exif='http://ns.adobe.com/exif/1.0/'>
  <exif:GPSLatitude>50,56.4N</exif:GPSLatitude>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
{chr(10).join([" " * 99] * 20)}
<?xpacket end='w'?>"""

# none of its names is the usual one, and there are comments, instructions and CDATA in all places
ODD = """<!-- by hand --><m:meta xmlns:m="adobe:ns:meta/"><!-- > --><r:RDF
 xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d="http://purl.org/dc/elements/1.1/"><?note a="/>"?>
 <r:Description xmlns="urn:ours" about = "" xmlns:rdf="urn:not-rdf"  rdf:a='>"/>' ><!-- </r:Description> -->
<b><![CDATA[</r:RDF>]]></b><d:subject><r:Bag><!-- none --><r:li><![CDATA[x]]></r:li></r:Bag></d:subject></r:Description>
</r:RDF></m:meta><!-- end -->"""

DEFAULT_NAMESPACE = """<xmpmeta xmlns="adobe:ns:meta/"><RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:a="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description a:about=""><subject
 xmlns="http://purl.org/dc/elements/1.1/"/></Description></RDF></xmpmeta>"""

# https://github.com/Exiv2/exiv2/issues/3280: the root has another name
ICLOUDPD = f"""<?xml version='1.0' encoding='utf-8'?>
<x:xml_doc xmlns:x="adobe:ns:meta/" x:xmptk="icloudpd 1.27.1"><rdf:RDF {RDF}><rdf:Description rdf:about="" {XMP}>\
<xmp:CreateDate>2024-01-23T18:12:34-0700</xmp:CreateDate><xmp:Rating>5</xmp:Rating></rdf:Description></rdf:RDF></x:xml_doc>"""

# the texts look like tags and attributes
ALIKE = f"""<rdf:RDF {RDF} >
<rdf:Description >rdf:about="" xmlns:a="b" >c="d"<!-- e="f"> --></rdf:Description ></rdf:RDF >"""
EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" {RDF}><rdf:RDF /></x:xmpmeta>'
BARE = f'<rdf:RDF {RDF}><rdf:Description rdf:about=""/></rdf:RDF>'

STYLES = {
    "lightroom": LIGHTROOM.encode(),
    "darktable": DARKTABLE.encode(),
    "digikam": DIGIKAM.encode(),
    "exiftool": EXIFTOOL.encode(),
    "odd": ODD.encode(),
    "default namespace": DEFAULT_NAMESPACE.encode(),
    "icloudpd": ICLOUDPD.encode(),
    "empty": EMPTY.encode(),
    "bare": BARE.encode(),
    "alike": ALIKE.encode(),
    "utf-8 with mark": b"\xef\xbb\xbf" + LIGHTROOM.encode(),
    "utf-16-le": b"\xff\xfe" + DIGIKAM.encode("utf-16-le"),
    "utf-16-be": b"\xfe\xff" + DARKTABLE.replace("UTF-8", "UTF-16").encode("utf-16-be"),
    "utf-16 without mark": LIGHTROOM.encode("utf-16-le"),
    "windows": LIGHTROOM.replace("\n", "\r\n").encode(),
}
every_style = pytest.mark.parametrize("old", STYLES.values(), ids=STYLES)
