"""Words with which models state, doubt and take back an answer, by meaning, in the languages of many tasks.

Each constant is an alternation of regular expressions for lower-case text in which a hyphen between letters has
become a space. Those in ``..._UNSPACED`` are of languages that set no spaces between words. None names what a task
asks for: that comes from the task's own names.
"""
# ruff: noqa: RUF001 -- words in other scripts

ANSWER = (
    r"answers?|ans\.?|respuesta|resposta|r[eé]ponse|risposta|antwort|antwoord|ответ|відповідь|svaret|svar|vastaus|válasz|odpověď|răspuns|απάντηση|উত্তর|yan[ıi]t|cevap|cevab[ıi]"
    r"|jawaban(?:nya)?|đáp án|câu trả lời|odpowied[zź](?: to)?|الإجابة|الاجابة|إجابة|الجواب|جواب|תשובה|התשובה|उत्तर"
    r"|जवाब|정답은?|답은?|답변은?"
)
ANSWER_UNSPACED = r"答案|正解|回答|答え|解答|정답|คําตอบ"
"""What an answer is called. A task's own names are added to these."""
NAMING = (
    r"option|choice|label|class|category|letter|solution|verdict|prediction|conclusion|selection|opci[oó]n"
    r"|etiqueta|alternativa|op[cç][aã]o|choix|[eé]tiquette|opzione|scelta|lösung|вариант|pilihan|lựa chọn"
    r"|seçenek|विकल्प"
)
LETTER = r"letra|lettre|lettera|buchstabe|буква|phương án|ตัวเลือก"
"""What an option's letter is called."""
NAMING_UNSPACED = r"选项|選項|选择|選択肢|標籤|标签"
"""What an option is called: it states an answer with a verb or a colon only ("option A" alone names it)."""
CORRECT = (
    r"correct|right|accurate|best|most appropriate|most suitable|most likely|appropriate|correct[ao]|certa"
    r"|cert[ao]|corrett[ao]|juste|exacte?|bonne|richtig(?:e|er|es)?|korrekt|juist|правильн(?:ый|ая|ое|о)"
    r"|верн(?:ый|ая|ое|о)|doğru|benar|tepat|đúng|chính xác|poprawn[aey]|صحيح(?:ة)?|الصحيح(?:ة)?|נכון|נכונה"
    r"|הנכונה|सही"
)
CORRECT_UNSPACED = r"正确|正確|正解|正しい|最合适|最合適|最佳|对的|對的|정답|맞|옳"
COPULA = (
    r"is|are|was|would be|should be|must be|will be|has to be|ought to be|remains|seems(?: to be)?"
    r"|appears(?: to be)?"
    r"|'s|looks|feels|sounds|es|ser[ií]a|debe ser|é|seria|deve ser|est|serait|doit être|c'est|è"
    r"|sarebbe|dev'essere|ist|lautet|wäre|sei|это|является|adalah|ialah|är|είναι|là|jest|هي|هو|היא|הוא|यह"
)
COPULA_UNSPACED = r"คือ|应该是|應該是|应当是|应为|應為|应选|应该选|是|为|為|選|选|は|이|은|는|가"
CHOOSE = (
    r"(?:i|we)(?: would| will| have to|'d|'ll|'m|'ve| am)?(?: \w{2,12}ly)? (?:choose|pick|select|chose|picked"
    r"|selected|choosing|go with|going with|went with|opt for|say|answer|vote for|believe"
    r"|think)(?: (?:that )?(?:it is|it's|it would be|it should be|this is|for))?"
    r"|(?:elijo|escojo|elegir[ií]a|escoger[ií]a|escolho|escolheria|scelgo|sceglierei|je choisis|je choisirais"
    r"|je dirais|ich wähle|ich würde sagen|ich nehme|я выбираю|я бы выбрал|выбираю|saya (?:me)?milih"
    r"|saya pilih|(?:let's |let us )?go(?:ing)? with|tôi chọn|chọn|wybieram|أختار|אני בוחר|אני בוחרת)"
)
CHOOSE_UNSPACED = r"我选择|我選擇|我选|我選|应选择?|選擇|选择|故选|选|選"
ASSIGN = (
    r"(?:classif(?:y|ied)|categori[sz]ed?|label(?:l?ed)?|rated?|described|marked|tagged|considered|identified"
    r"|interpreted)(?: (?:best|most \w{3,14}ly))?(?: to be| as(?: being)?)"
    r"|(?:classify|categori[sz]e|label|rate|call|consider|mark|give|deem) (?:it|this|that|(?:the"
    r"|this) \w{1,20})(?: as(?: being)?)?"
    r"|(?:handled?|answered|rout(?:e|ed)|sen[dt]|forward(?:ed)?|direct(?:ed)?|assign(?:ed)?|pass(?:ed)?"
    r"|belongs?|go(?:es)?|falls|addressed|refer(?:red)?|put)(?: (?:it|this|the message|this message"
    r"|on))*(?: best)? (?:by|to|in|into|under|within)"
    r"|(?:falls|belongs) (?:in|into|under|to) the (?:category|class) of"
)
"""Verbs that put what was asked about under an option."""
FILLER = (
    r"(?:most likely|most probably|likely|probably|clearly|definitely|certainly|overwhelmingly|predominantly"
    r"|mostly|mainly|overall|simply|just|also|indeed|therefore|thus|obviously|generally|primarily|very|quite"
    r"|rather|strongly|highly|the correct answer|correct answer|the|an|a|el|la|los|las|un|una|o|os|as|um|uma"
    r"|le|les|une|il|lo|i|gli|der|die|das|ein|eine|claramente|muy|très|plutôt|sehr|eher|очень|скорее|option"
    r"|choice|letter|label|answer|number|opci[oó]n|opção|alternativa|lettre|letra|lettera|buchstabe|вариант"
    r"|буква|pilihan|phương án|seçenek|şık|विकल्प|الخيار|אפשרות|opzione|seçenek|for|in|about)(?![^\W_])"
)
FILLER_UNSPACED = r"非常|很|比较|十分|とても|매우|选项|選項|选|選|番号|l'|d'"
ONE_OF_SEVERAL = (
    r"each|every|all|both|any|following|other|others|remaining|possible|given|available|these|cada|todas"
    r"|outras|otras|chaque|autres|jede|andere|anderen|alle|каждый|все|другие"
)
"""Words that speak of the options, and state none."""
DENIAL = (
    r"not|nobody|no one|opposite|isn't|aren't|wasn't|n't|never|neither|nor|no|none|nothing|without|wrong|incorrect"
    r"|false|worst|least"
    r"|cannot|rather than|instead of|unlike|other than|except|nunca|ni|tampoco|não|nem|pas|jamais|non|né|nicht"
    r"|kein|keine|keinen|weder|niet|geen|не|нет|ни|неправильн\w{1,3}|неверн\w{1,3}|değil|yanlış|bukan|tidak"
    r"|salah|không|nie|ليس|ليست|לא|אינו|नहीं|incorrect[ao]|errad[ao]|sbagliat[ao]|falsch\w{0,2}|faux|fausse"
    r"|mauvaise?|foute?|verkeerde?|błędn[aey]|sai|خاطئة?|الخاطئة?|שגוי|שגויה|गलत|틀린|second best|trap"
)
DENIAL_UNSPACED = r"不是|并非|並非|不|非|错误|錯誤|誤[りっ答]|ではない|ではなく|아니|아닙|오답"
DENIAL_LAST = (
    r"değil(?:dir)?|नहीं|(?:이|가)?\s?아(?:니|닙)|(?:では|じゃ)(?:な[いくか]|ありません)|とは言え(?:ない|ません)"
)
"""What denies an option right after it, in languages where the verb comes last."""
RULED_OUT = r"eliminated?|excluded?|ruled out|rejected|discarded|distractors?"
"""What an option is called in a heading, or as a JSON key, that is no answer."""
NO_ANSWER = r"questions?|examples?|e\.g|samples?|hints?|formats?|tips?"
"""Headings of what is no answer."""
DOUBT = (
    r"if|whether|previously|formerly|originally|unless|might|may|could|maybe|perhaps|possibly|tempting|tempted|doubt|assume|imagine|suppose|supposing|assuming"
    r"|either|not sure|unsure|at first|initially|quiz[aá]s?|tal vez|talvez|peut être|forse|vielleicht|может"
    r"|возможно|если|belki|mungkin|có thể|ربما|אולי|शायद|wenn|falls|si|se"
)
DOUBT_UNSPACED = r"如果|可能|也许|也許|或许|かもしれ|もし|아마"
UNSURE = (
    r"(?:i'?m|i am|we are)(?: really| quite| still)? (?:not (?:entirely |completely |quite |really "
    r"|so )?(?:sure|certain)|unsure|uncertain)"
    r"|(?:but|though|,) not (?:entirely |completely |quite |really |so )?(?:sure|certain)"
    r"|\((?:but )?(?:not sure|unsure|uncertain)"
    r"|but none of (?:these|them|the (?:options|choices|answers))"
    r"|i (?:do not|don't|cannot|can't) (?:know|tell|decide|determine|say)\b|no estoy segur[ao]"
    r"|não tenho certeza|je ne suis pas sûr|ich bin (?:mir )?nicht sicher"
    r"|не уверен|不确定|不確定|わかりません|잘 모르"
)
"""First-person doubt about the answer itself."""
OR = (
    r"or|and|nor|as well as|and/or|versus|vs\.?|o|u|y|e|ou|et|oder|und|of|en|или|и|veya|ve|atau|dan|hoặc|và"
    r"|lub|i|أو|و|או|या|और|또는"
)
OR_UNSPACED = r"和|或者?|与|跟|と|か|や|및|나"
CONTRAST = (
    r"but|however|i mean|i meant|edit|or rather|then again|yet|although|though|actually|wait|hmm|instead"
    r"|rather|correction|sorry|no|scratch that|my mistake|on second thought|on reflection|pero|sin embargo|mas"
    r"|porém|mais|cependant|ma|però|tuttavia|aber|jedoch|sondern|maar|но|однако|хотя|ama|fakat|ancak|tetapi"
    r"|tapi|nhưng|ale|jednak|لكن|ولكن|بل|אבל|लेकिन|परंतु|하지만|그러나"
)
CONTRAST_UNSPACED = r"但是|但|不过|不過|然而|而是|等等|しかし|でも|ただし|更正"
REASON = (
    r"because|since|as|for|which|so|due|based|given|with|in that|that|when|while|if|where|but|although|though"
    r"|and not|not|rather than|instead of|over|porque|ya que|pues|pois|car|parce|perché|poiché|weil|da|denn"
    r"|omdat|потому|так как|çünkü|karena|vì|bởi|ponieważ|لأن|כי|क्योंकि|and|y|e|et|und|и|ve|dan|và"
)
BECAUSE = (
    r"because|since|as|for|while|whereas|than|due|though|although|porque|ya que|car|parce|perché|weil|da|denn"
    r"|потому|так как|çünkü|karena|vì"
)
REASON_UNSPACED = r"因为|因為|由于|所以|ので|から|のため|なぜなら"
VALUE = (
    r"yes|no|not|nope|true|false|correct|incorrect|right|wrong|likely|unlikely|very likely|very unlikely"
    r"|possible|impossible|possibly|maybe|none|n/a|high|low|medium|sí|si|sim|não|nao|oui|non|ja|nein|nee|да"
    r"|нет|evet|hayır|ya|tidak|có|không|tak|nie|نعم|لا|כן|לא|हाँ|नहीं|是|否|不是|はい|いいえ|예|아니요|✓|✗|✔|✘|x|✅|❌"
)
"""What stands beside each option where a text judges them all."""
POLAR = frozenset(
    [
        "yes",
        "no",
        "true",
        "false",
        "sí",
        "si",
        "no",
        "sim",
        "não",
        "oui",
        "non",
        "vrai",
        "faux",
        "ja",
        "nein",
        "wahr",
        "falsch",
        "да",
        "нет",
        "правда",
        "ложь",
        "verdadero",
        "falso",
        "verdadeiro",
        "evet",
        "hayır",
        "doğru",
        "yanlış",
        "ya",
        "tidak",
        "benar",
        "salah",
        "có",
        "không",
        "đúng",
        "sai",
        "tak",
        "nie",
        "نعم",
        "لا",
        "صحيح",
        "خطأ",
        "כן",
        "לא",
        "हाँ",
        "नहीं",
        "是",
        "否",
        "对",
        "错",
        "對",
        "錯",
        "はい",
        "いいえ",
        "예",
        "아니요",
        "correct",
        "incorrect",
        "right",
        "wrong",
    ]
)
"""Options that are answers to a yes-or-no question: a denial after them belongs to the answer."""
OPENER = (
    r"sure|okay|ok|certainly|of course|well|alright|absolutely|claro|seguro|bien sûr|natürlich|klar|certo"
    r"|конечно|好的|当然|はい"
)
ADVERB_OPENER = (
    r"clearly|definitely|certainly|obviously|very|strongly|highly|overwhelmingly|mostly|mainly|extremely|so"
    r"|thus|therefore|hence|overall|in (?:summary|conclusion|short)|finally|ultimately|claramente|muy|muito"
    r"|très|sehr|очень|çok|sangat"
)
SUFFIX_APOSTROPHE = r"[dt][iıuü]r"
SUFFIX = (
    r"です|でした|だ|である|的|번|번입니다|입니다|이다|이에요|예요|है|हैं|था|dir|'[dt][iıuü]r"
    r"|dır|dur|dür|tır|になります|と思います|を選びます|を選ぶ|를 선택합니다"
    r"|을 선택합니다|olur|होगा|चुनता हूँ"
)
"""What is attached to an answer, or closes its sentence, in languages where the verb comes last."""
EXPLANATION = (
    r"explanation|reason(?:ing)?|note|because|why|justification|rationale|analysis|comment|explicaci[oó]n"
    r"|raz[oó]n|motivo|explica[cç][aã]o|justificativa|explication|raison|spiegazione|motivazione|erklärung"
    r"|begründung|grund|объяснение|причина|пояснение|açıklama|penjelasan|alasan|giải thích|lý do|الشرح|السبب"
    r"|הסבר|व्याख्या|कारण|설명|이유|解释|解析|理由|原因|説明|分析"
)
PRONOUN = (
    r"it|this|that|these|those|he|she|they|there|the|your|my|its|his|her|their|our|i|es|esto|este|esta|ese|el"
    r"|la|lo|eso|isto|o|a|essa|esse|ce|c|cette|cet|le|il|questo|questa|das|dies|diese|dieser|der|die|dit|dat"
    r"|de|это|этот|эта|bu|ini|itu|đây|هذا|هذه|זה|זו|यह|이것은"
)
PRONOUN_UNSPACED = r"私|我|这|這|该|此|它|これ|この|それ|그|이"
